"""Whatever Argo CD says: ready is entered exactly when the design says so (R42), by an oracle that
shares no line with the judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.core.application import Application
from tenantry.core.model import State, Status, may_move
from tenantry.core.readiness import Trees, Wanted, judge
from tenantry.core.reasons import REASONS
from tests.readiness import COMMIT, GREEN, NOON, OTHERS, OURS

times = st.sampled_from([None, NOON, NOON + timedelta(seconds=1)])
trees = st.sampled_from(
    [OURS, OURS, OURS, OTHERS, Trees(OURS.tenant, "v0"), Trees(None, None), None]
)
revisions = st.sampled_from(["", "refs/heads/main", "d" * 40])
kinds = st.sampled_from(["ComparisonError", "SyncError", "InvalidSpecError", "SomeWarning"])
HEALTH = ["", "Unknown", "Missing", "Degraded", "Progressing", "Suspended"]
CHANGES: dict[str, st.SearchStrategy[object]] = {
    "deleting": st.just(value=True),
    "health": st.sampled_from(HEALTH),
    "sync": st.sampled_from(["OutOfSync", "Unknown", ""]),
    "revision": revisions,
    "operation_requested": st.just(value=True),
    "phase": st.sampled_from(["", "Running", "Failed", "Error", "Other"]),
    "applied_revision": revisions,
    "finished_at": times,
    "retry_count": st.integers(1, 5),
    "reconciled_at": times,
    "conditions": st.tuples(st.tuples(kinds, st.text(max_size=5))),
}


SURROUNDINGS: dict[str, st.SearchStrategy[object]] = {
    "app": st.none(),
    "compared": trees,
    "applied": trees,
    "answers": st.sampled_from([None, False]),
    "accepted_tree": st.none(),
    "platform_tree": st.none(),
    "published": st.just(value=False),
}
Case = tuple[Wanted, Application | None, Trees | None, Trees | None, bool | None, Status]


@st.composite
def make_case(
    draw: st.DrawFn,
    states: Sequence[State] = tuple(State),
    before: Sequence[Status] = tuple(Status),
) -> Case:
    """Everything as it should be, but for a few things."""
    possible = CHANGES | SURROUNDINGS
    names = draw(st.sets(st.sampled_from(sorted(possible)), max_size=3))
    found: dict[str, Any] = {name: draw(possible[name]) for name in sorted(names)}
    app = replace(GREEN, **{name: found[name] for name in CHANGES.keys() & names})
    wanted = Wanted(
        state=draw(st.sampled_from(states)),
        accepted_tree=found.get("accepted_tree", OURS.tenant),
        platform_tree=found.get("platform_tree", OURS.platform),
        published=found.get("published", True),
    )
    return (
        wanted,
        found.get("app", app),
        found.get("compared", OURS),
        found.get("applied", OURS),
        found.get("answers", True),
        draw(st.sampled_from(before)),
    )


def as_the_design_says(case: Case) -> bool:
    """DESIGN's sentence on "Ready", written out on its own."""
    wanted, app, compared, applied, answers, _ = case
    if app is None or app.deleting:
        return False
    ours = Trees(wanted.accepted_tree, wanted.platform_tree)
    if len(app.revision) != 40 or compared != ours or None in (ours.tenant, ours.platform):
        return False
    if app.sync != "Synced" or app.health != "Healthy" or answers is not True:
        return False
    if app.phase == "Running" or app.operation_requested:
        return False
    if any(kind.endswith("Error") for kind, _ in app.conditions):
        return False
    foreign = len(app.applied_revision) == 40 and applied is not None and applied != ours
    if app.phase and not foreign:
        if app.phase in ("Failed", "Error") or app.finished_at is None:
            return False
        return app.reconciled_at is not None and app.reconciled_at >= app.finished_at
    return True


NOT_READY = [Status.PROVISIONING, Status.FAILED, Status.DEGRADED, Status.SUSPENDED]


@settings(max_examples=1000, deadline=None)
@given(make_case(states=[State.ACTIVE], before=NOT_READY))
def test_ready_is_entered_exactly_when_the_design_says_so(case: Case) -> None:
    assert (judge(*case).status is Status.READY) == as_the_design_says(case)


@settings(max_examples=1000, deadline=None)
@given(make_case())
def test_every_verdict_is_a_legal_move_with_a_reason(case: Case) -> None:
    before = case[-1]
    verdict = judge(*case)
    assert may_move(before, verdict.status)
    assert verdict.reason_code in REASONS
    assert verdict.customer.endswith(".")
    assert verdict.operator
    assert verdict.synced or not verdict.healthy
    assert verdict.seen or not verdict.synced
    assert (verdict.status is Status.DELETED) == (before is Status.DELETED)


@settings(max_examples=1000, deadline=None)
@given(make_case(before=[old for old in Status if old is not Status.FAILED]))
def test_failed_is_entered_only_by_a_failed_operation_on_our_content(case: Case) -> None:
    wanted, app, _, applied, _, _ = case
    if judge(*case).status is Status.FAILED:
        assert app is not None
        assert app.phase in ("Failed", "Error")
        assert applied == Trees(wanted.accepted_tree, wanted.platform_tree)
        assert not app.operation_requested


@settings(max_examples=500, deadline=None)
@given(
    make_case(
        states=[State.ACTIVE, State.READ_ONLY, State.SUSPENDED],
        before=[Status.PROVISIONING, Status.FAILED],
    )
)
def test_content_that_nobody_knows_changes_no_outcome(case: Case) -> None:
    wanted, app, _, applied, answers, before = case
    seen = replace(app or GREEN, revision=COMMIT, deleting=False, conditions=())
    verdict = judge(wanted, seen, None, applied, answers, before)
    assert (verdict.status, verdict.unknown) == (before, True)

"""What is told over time (R42, R43): blips are not, and failed is told last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest

from tenantry.core.model import Status
from tenantry.core.readiness import Verdict
from tenantry.core.standing import Act, Look, Rules, Standing, Step, follow
from tests.readiness import NOON

RULES = Rules(settle_after=timedelta(seconds=10), ready_within=timedelta(seconds=300), attempts=3)
LATE = 300  # seconds after the publication
HOUR = 3600

# (seconds since the publication, status and code of the look)
At = tuple[int, str, str]
READY, BAD = ("ready", "ready"), ("degraded", "unhealthy")
GAVE_UP, WAITS = ("failed", "sync_failed"), ("provisioning", "starting")


@dataclass(frozen=True)
class Life:
    """What the looks came to, one step for each."""

    steps: Sequence[Step]

    @property
    def told(self) -> list[str | None]:
        return [step.verdict.status.value if step.verdict else None for step in self.steps]

    @property
    def acts(self) -> list[Act]:
        return [step.act for step in self.steps]

    @property
    def last(self) -> Standing:
        return self.steps[-1].standing


def look(status: str, code: str, *, generation: int = 1, uid: str = "a") -> Look:
    unknown = code in ("commit_unknown", "operation_unclear")
    verdict = Verdict(
        status=Status(status),
        reason_code=code,
        customer="It is so.",
        operator="It is so.",
        seen=True,
        synced=True,
        healthy=True,
        needs_probe=False,
        unknown=unknown,
    )
    return Look(verdict, generation, NOON, uid, arrived=code == "ready")


def live(before: Standing | Status, *looks: At, generation: int = 1, uid: str = "a") -> Life:
    standing = before if isinstance(before, Standing) else Standing(before, generation=generation)
    steps = []
    for second, status, code in looks:
        seen = look(status, code, generation=generation, uid=uid)
        steps.append(follow(standing, seen, NOON + timedelta(seconds=second), RULES))
        standing = steps[-1].standing
    return Life(steps)


# A running tenant


@pytest.mark.parametrize(
    ("before", "looks", "told"),
    [
        (Status.READY, [(0, *BAD), (9, *READY)], [None, "ready"]),
        (Status.READY, [(0, *BAD), (9, *BAD), (10, *BAD)], [None, None, "degraded"]),
        (Status.READY, [(0, *BAD), (9, *READY), (10, *BAD)], [None, "ready", None]),
        (Status.DEGRADED, [(0, *READY), (9, *BAD)], [None, "degraded"]),
        (Status.DEGRADED, [(0, *READY), (10, *READY)], [None, "ready"]),
        (Status.PROVISIONING, [(0, *READY)], ["ready"]),
        (Status.FAILED, [(0, *READY)], ["ready"]),
        (Status.READY, [(0, "ready", "syncing")], ["ready"]),
        (Status.READY, [(0, "suspended", "suspended")], ["suspended"]),
    ],
)
def test_between_good_and_bad_only_what_lasts_is_told(
    before: Status, looks: list[At], told: list[str | None]
) -> None:
    assert live(before, *looks).told == told


def test_each_time_it_goes_bad_is_a_flap_told_or_not() -> None:
    flapping = [(0, *BAD), (5, *BAD), (6, *READY), (7, *BAD), (8, *READY)]
    assert [step.standing.flaps for step in live(Status.READY, *flapping).steps] == [1, 1, 1, 2, 2]
    recovering = live(Status.READY, (0, *BAD), (10, *BAD), (20, *READY), (30, *READY))
    assert (recovering.last.flaps, recovering.last.status) == (1, Status.READY)


def test_a_clock_that_was_set_back_begins_the_wait_anew() -> None:
    told = live(Status.READY, (HOUR, *BAD), (0, *BAD), (9, *BAD), (10, *BAD)).told
    assert told == [None, None, None, "degraded"]


@pytest.mark.parametrize(("uid", "told"), [("a", "ready"), ("b", "degraded"), ("", "ready")])
def test_what_ran_is_gone_with_its_application(uid: str, told: str) -> None:
    ready = live(Status.PROVISIONING, (0, *READY)).last
    assert ready.uid == "a"
    again = live(ready, (1, "ready", "out_of_sync"), (11, "ready", "out_of_sync"), uid=uid)
    assert again.told[-1] == told
    assert again.last.flaps == (told == "degraded")


@pytest.mark.parametrize("status", [Status.READY, Status.PROVISIONING, Status.FAILED])
@pytest.mark.parametrize("code", ["commit_unknown", "operation_unclear"])
def test_unknown_moves_nothing_and_is_dated(status: Status, code: str) -> None:
    life = live(status, (HOUR, status.value, code), (HOUR + 60, status.value, code))
    assert (life.told, life.acts) == ([None, None], [Act.NOTHING, Act.NOTHING])
    assert life.last == Standing(status, 1, unknown_since=NOON + timedelta(hours=1))
    assert live(life.last, (2 * HOUR, *READY)).last.unknown_since is None


# A deployment

# what Argo CD gave up is tried again after half a minute, one, and two
GIVEN_UP = [(0, *GAVE_UP), (29, *GAVE_UP), (30, *GAVE_UP), (89, *GAVE_UP), (90, *GAVE_UP)]
SYNC, REFRESH, NOTHING = Act.SYNC, Act.REFRESH, Act.NOTHING


def test_failed_is_told_once_all_attempts_are_made_and_waited_for() -> None:
    life = live(Status.PROVISIONING, *GIVEN_UP, (209, *GAVE_UP), (210, *GAVE_UP), (9999, *GAVE_UP))
    assert life.acts == [SYNC, NOTHING, SYNC, NOTHING, SYNC, NOTHING, NOTHING, NOTHING]
    assert life.told == ["provisioning"] * 6 + ["failed"] * 2
    assert [step.tells_support for step in life.steps] == [False] * 6 + [True, False]


def test_what_is_on_its_way_uses_up_no_attempt() -> None:
    life = live(Status.PROVISIONING, (0, *WAITS), (HOUR, *WAITS), (HOUR, "provisioning", "syncing"))
    assert life.acts == [NOTHING] * 3
    assert life.told == ["provisioning"] * 3
    assert life.last.attempts == 0


@pytest.mark.parametrize(
    ("code", "act"),
    [
        ("comparison_error", REFRESH),
        ("unhealthy", SYNC),
        ("resources_missing", SYNC),
        ("starting", NOTHING),
        ("no_application", NOTHING),
        ("sync_retrying", NOTHING),
    ],
)
def test_what_is_broken_is_given_its_time_first(code: str, act: Act) -> None:
    life = live(Status.PROVISIONING, (LATE - 1, "provisioning", code), (LATE, "provisioning", code))
    assert life.acts == [NOTHING, act]
    assert life.told == ["provisioning", "provisioning"]


def test_a_failed_deployment_goes_on_by_evidence() -> None:
    failed = live(Status.PROVISIONING, *GIVEN_UP, (210, *GAVE_UP)).last
    assert failed.status is Status.FAILED
    again = live(failed, (220, "provisioning", "syncing"), (230, *GAVE_UP), (240, *READY))
    assert again.told == ["failed", "failed", "ready"], "it heals by arriving, and by nothing less"
    assert not any(step.tells_support for step in again.steps)
    assert again.last.attempts == 0


def test_a_failed_deployment_stays_so_while_nothing_is_seen() -> None:
    failed = Standing(Status.FAILED, 1, attempts=3, asked_at=NOON, support_told=True)
    assert live(failed, (HOUR, "failed", "no_application")).told == ["failed"]


def test_another_generation_has_all_its_attempts() -> None:
    failed = live(Status.PROVISIONING, *GIVEN_UP, (210, *GAVE_UP)).last
    anew = live(failed, (220, "provisioning", "older_content"), (230, *GAVE_UP), generation=2)
    assert anew.told == ["provisioning", "provisioning"]
    assert (anew.last.attempts, anew.acts[-1]) == (1, SYNC)
    assert not anew.last.support_told


def test_a_clock_that_was_set_back_holds_no_attempt_back() -> None:
    asked = Standing(Status.PROVISIONING, 1, attempts=1, asked_at=NOON + timedelta(hours=1))
    assert live(asked, (0, *GAVE_UP)).acts == [SYNC]


def test_a_change_that_fails_leaves_a_running_tenant_what_it_is() -> None:
    failing = [(second, "ready", code) for second, _, code in GIVEN_UP]
    failing += [(210, "ready", "sync_failed"), (220, "ready", "sync_failed")]
    life = live(Status.READY, *failing)
    assert set(life.told) == {"ready"}
    assert [step.tells_support for step in life.steps] == [False] * 5 + [True, False]


@pytest.mark.parametrize("status", [Status.PENDING, Status.AWAITING_REVIEW, Status.DELETING])
def test_what_is_not_to_run_yet_or_any_more_is_told_as_judged(status: Status) -> None:
    assert live(status, (HOUR, status.value, status.value)).told == [status.value]

"""Recordings of a real Argo CD, judged (R41, R42).

The tables were written from the recordings' own fields, entry by entry.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.core.application import Application, parse_application
from tenantry.core.model import Status
from tenantry.core.readiness import Trees, Verdict
from tenantry.core.reasons import DETAIL_LENGTH, REASONS, clean, tell_customer
from tests.readiness import OTHERS, OURS, RECORDINGS, ask, got, recorded

# Recordings of single Applications, judged while provisioning, their commits being ours

READY = ("ready", "ready")
SINGLE = {
    "get-fresh": ("provisioning", "not_compared"),
    "get-healthy": READY,
    "get-healthy-fields-ignored": READY,
    "get-existing-without-project-200": READY,
    "refresh-as-reader": READY,
    "refresh-hard": READY,
    "refresh-normal": READY,
    "get-b-good-6s": ("provisioning", "syncing"),
    "get-b-good-40s": READY,
    "get-b-good-120s": READY,
    "get-b-zero-6s": ("provisioning", "syncing"),
    "get-b-zero-40s": READY,
    "get-b-zero-120s": READY,
    "get-b-badseal-6s": ("provisioning", "awaiting_health"),
    "get-b-badseal-40s": ("provisioning", "unhealthy"),
    "get-b-badseal-120s": ("provisioning", "unhealthy"),
    "get-b-broken-6s": ("provisioning", "comparison_error"),
    "get-b-broken-40s": ("provisioning", "comparison_error"),
    "get-b-broken-120s": ("provisioning", "comparison_error"),
    "get-b-broken-6min": ("provisioning", "comparison_error"),
    "get-b-invalid-6s": ("provisioning", "syncing"),
    "get-b-invalid-40s": ("provisioning", "sync_retrying"),
    "get-b-invalid-120s": ("provisioning", "sync_retrying"),
    "get-b-invalid-6min": ("provisioning", "sync_retrying"),
    "get-b-plain-6s": ("provisioning", "sync_retrying"),
    "get-b-plain-40s": ("provisioning", "sync_retrying"),
    "get-b-plain-120s": ("provisioning", "sync_retrying"),
    "get-b-plain-6min": ("failed", "sync_failed"),
    "get-b-quota-6s": ("provisioning", "syncing"),
    "get-b-quota-40s": ("provisioning", "starting"),
    "get-b-quota-120s": ("provisioning", "starting"),
    "get-b-quota-6min": ("provisioning", "starting"),
    "get-b-quota-15min": ("provisioning", "unhealthy"),
    "get-b-stuck-6s": ("provisioning", "syncing"),
    "get-b-stuck-40s": ("provisioning", "unhealthy"),
    "get-b-stuck-120s": ("provisioning", "unhealthy"),
    "get-deleting-Delete-confirm": ("provisioning", "application_deleting"),
    "get-deleting-b-badseal": ("provisioning", "application_deleting"),
    "get-deleting-b-broken": ("provisioning", "application_deleting"),
    "get-deleting-b-plain": ("provisioning", "application_deleting"),
    "get-deleting-w0008": ("provisioning", "application_deleting"),
    "get-deletion-stuck": ("provisioning", "application_deleting"),
    "get-directory-removed": ("provisioning", "comparison_error"),
}
WORDS = {
    "get-b-badseal-40s": "SealedSecret app-secrets: no key could decrypt secret (DB_PASSWORD, SIGN",
    "get-b-broken-40s": "no such file or directory",
    "get-b-invalid-40s": "attempt 3: one or more objects failed to apply, reason: Service ",
    "get-b-plain-6min": "resource :Secret is not permitted in project tenants",
    "get-b-quota-120s": "Deployment app: Waiting for rollout to finish: 0 out of 1 new replicas",
    "get-b-stuck-40s": 'Deployment app: Deployment "app" exceeded its progress deadline',
    "get-directory-removed": "app path does not exist",
}


def test_every_recorded_application_is_in_the_table() -> None:
    bodies = {
        path.stem: json.loads(path.read_text("utf-8")).get("body")
        for pattern in ("get-*.json", "refresh-*.json")
        for path in RECORDINGS.glob(pattern)
    }
    applications = {name for name, body in bodies.items() if "metadata" in body}
    assert applications == SINGLE.keys()


@pytest.mark.parametrize("name", SINGLE)
def test_a_recorded_application(name: str) -> None:
    app = parse_application(recorded(f"{name}.json")["body"])
    verdict = ask(app)
    assert got(verdict) == SINGLE[name]
    assert WORDS.get(name, "") in verdict.operator


@pytest.mark.parametrize("name", [name for name, expected in SINGLE.items() if expected == READY])
def test_no_green_recording_of_other_content_is_ready(name: str) -> None:
    app = parse_application(recorded(f"{name}.json")["body"])
    for compared in (OTHERS, Trees(OURS.tenant, "v0"), Trees(None, None)):
        assert got(ask(app, compared=compared)) == ("provisioning", "older_content")
    verdict = ask(app, compared=None)
    assert (got(verdict), verdict.unknown) == (("provisioning", "commit_unknown"), True)


def test_a_failed_sync_of_other_content_is_not_our_failure() -> None:
    app = parse_application(recorded("get-b-plain-6min.json")["body"])
    assert got(ask(app, applied=OTHERS)) == ("provisioning", "out_of_sync")
    unclear = ask(app, applied=None)
    assert (got(unclear), unclear.unknown) == (("provisioning", "operation_unclear"), True)


def test_every_listed_application_is_read() -> None:
    for name in ("list-full", "list-fields", "list-fields-mixed-states", "list-selector"):
        for item in recorded(f"{name}.json")["body"]["items"]:
            assert parse_application(item).name.startswith("cust-")


# Recordings over time: the verdicts of a tenant that signed up, as "<entries> <reason>, …"

FAILURES = {
    "b-plain": "2 not_compared, 1 out_of_sync, 1 syncing, 10 sync_retrying",
    "b-broken": "1 not_compared, 1 comparison_error",
    "b-badseal": "3 not_compared, 2 syncing, 1 out_of_sync, 1 awaiting_health, 1 unhealthy",
    "b-stuck": "2 not_compared, 1 out_of_sync, 3 syncing, 1 out_of_sync, 1 awaiting_health,"
    " 1 starting, 1 unhealthy",
    "b-quota": "2 not_compared, 1 out_of_sync, 3 syncing, 1 out_of_sync, 1 awaiting_health,"
    " 1 starting",
    "b-invalid": "3 not_compared, 3 syncing, 12 sync_retrying",
}
SUCCESSES = {
    "b-zero": "3 not_compared, 2 syncing, 1 out_of_sync, 1 awaiting_health, 1 ready",
    "b-good": "3 not_compared, 2 syncing, 1 out_of_sync, 1 awaiting_health, 1 ready",
}
_LATE = "1 out_of_sync, 2 syncing, 1 out_of_sync, 1 awaiting_health"
_EARLY = "2 syncing, 1 out_of_sync, 1 awaiting_health"
WEBHOOK = {
    "w0002": f"3 not_compared, {_EARLY}, 1 ready",
    "w0003": f"2 not_compared, {_LATE}, 1 starting, 1 ready",
    "w0004": f"3 not_compared, {_EARLY}, 1 starting, 1 ready",
    "w0005": f"2 not_compared, {_LATE}, 1 starting, 1 ready",
    "w0006": f"2 not_compared, {_LATE}, 1 starting, 1 ready",
    "w0007": f"2 not_compared, {_LATE}, 1 ready",
    "w0008": f"3 not_compared, {_EARLY}, 1 starting, 1 ready",
    "w0009": "2 not_compared, 1 out_of_sync, 2 syncing, 1 out_of_sync, 1 starting, 1 ready",
}
# tenants that were changed several times: what is judged when a later commit is the one wanted
CHANGED = {
    ("w0000", "6f49810"): "2 not_compared, 1 out_of_sync, 2 syncing, 1 out_of_sync, 1 starting,"
    " 2 ready, 1 syncing, 57 older_content",
    ("w0000", "60e8fba"): "2 not_compared, 32 older_content, 4 syncing, 1 out_of_sync,"
    " 1 awaiting_health, 2 ready, 25 older_content",
    ("w0000", "3813589"): "2 not_compared, 54 older_content, 4 syncing, 3 out_of_sync, 2 syncing,"
    " 1 awaiting_health, 1 ready",
    ("w0001", "912d633"): f"2 not_compared, {_LATE}, 2 ready, 1 syncing, 61 older_content",
    ("w0001", "cc214f1"): "2 not_compared, 45 older_content, 4 syncing, 3 out_of_sync, 1 syncing,"
    " 1 out_of_sync, 1 awaiting_health, 2 ready, 12 older_content",
    ("w0001", "4028dec"): "2 not_compared, 57 older_content, 1 out_of_sync, 4 syncing,"
    " 3 out_of_sync, 2 syncing, 1 awaiting_health, 1 ready",
}


def application_of(entry: dict[str, Any]) -> Application | None:
    """The Application that a timeline's entry abbreviates; its commits are cut to seven digits."""
    if entry.get("http") == 404:
        return None
    operation = {
        "phase": entry["ph"],
        "message": entry["opmsg"],
        "finishedAt": entry["fin"],
        "retryCount": entry["retry"],
        "syncResult": {"revision": whole(entry["oprev"])},
    }
    return parse_application(
        {
            "metadata": {"name": "cust", "deletionTimestamp": "t" if entry["deleting"] else None},
            "status": {
                "health": {"status": entry["h"]},
                "sync": {"status": entry["s"], "revision": whole(entry["rev"])},
                "operationState": operation,
                "reconciledAt": entry["recon"],
                "conditions": [{"type": kind, "message": "why"} for kind in entry["cond"]],
            },
        }
    )


def whole(revision: str) -> str:
    if revision.startswith("refs/"):
        return "refs/heads/main"
    return revision.ljust(40, "0") if revision else ""


def follow(entries: list[dict[str, Any]], commit: str = "") -> list[Verdict]:
    """Judge a timeline from the signup on; `commit` is the one that has our content ("": all)."""

    def trees(revision: str | None) -> Trees:
        return OURS if revision and revision.startswith(commit) else OTHERS

    verdicts: list[Verdict] = []
    before = Status.PENDING
    for entry in entries:
        app = application_of(entry)
        compared = trees(app.compared_commit if app else None)
        applied = trees(app.applied_commit if app else None)
        verdicts.append(ask(app, before=before, compared=compared, applied=applied))
        before = verdicts[-1].status
    return verdicts


def spell(table: str) -> list[str]:
    parts = [part.split() for part in table.split(", ")]
    return [code for count, code in parts for _ in range(int(count))]


def check_timeline(verdicts: list[Verdict], table: str) -> None:
    assert [verdict.reason_code for verdict in verdicts] == spell(table)
    statuses = [verdict.status for verdict in verdicts]
    first = spell(table).index("ready") if "ready" in spell(table) else len(statuses)
    assert statuses[:first] == [Status.PROVISIONING] * first
    assert statuses[first:] == [Status.READY] * (len(statuses) - first)


@pytest.mark.parametrize("name", [*FAILURES, *SUCCESSES])
def test_a_recorded_failure_state_over_time(name: str) -> None:
    timelines = recorded("timelines-failure-states.json")
    assert timelines.keys() == FAILURES.keys() | SUCCESSES.keys()
    check_timeline(follow(timelines[name]), (FAILURES | SUCCESSES)[name])


@pytest.mark.parametrize("name", FAILURES)
def test_a_failing_tenant_is_never_ready(name: str) -> None:
    verdicts = follow(recorded("timelines-failure-states.json")[name])
    assert Status.READY not in {verdict.status for verdict in verdicts}


@pytest.mark.parametrize("name", [*SUCCESSES, *WEBHOOK])
def test_a_normal_tenant_is_ready_with_the_last_entry_only(name: str) -> None:
    timelines = recorded("timelines-failure-states.json") | recorded(
        "timelines-webhook-tenants.json"
    )
    statuses = [verdict.status for verdict in follow(timelines[name])]
    assert statuses == [Status.PROVISIONING] * (len(statuses) - 1) + [Status.READY]


@pytest.mark.parametrize("name", WEBHOOK)
def test_a_recorded_signup_over_time(name: str) -> None:
    timelines = recorded("timelines-webhook-tenants.json")
    assert timelines.keys() == WEBHOOK.keys() | {tenant for tenant, _ in CHANGED}
    check_timeline(follow(timelines[name]), WEBHOOK[name])


@pytest.mark.parametrize(("name", "commit"), CHANGED)
def test_a_recorded_change_over_time(name: str, commit: str) -> None:
    entries = recorded("timelines-webhook-tenants.json")[name]
    check_timeline(follow(entries, commit), CHANGED[name, commit])


def test_the_first_tenant_ever_over_time() -> None:
    entries = [entry for _, entry in recorded("timeline-first-tenant.json")]
    table = "1 no_application, 1 not_compared, 2 syncing, 1 awaiting_health, 1 ready"
    check_timeline(follow(entries), table)


# Reading and telling

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_an_application_of_any_shape_is_read(data: st.DataObject) -> None:
    body = recorded("get-b-plain-6min.json")["body"]
    for part in (body, body["status"], body["status"]["operationState"], body["metadata"]):
        name = data.draw(st.sampled_from(sorted(part)))
        part[name] = data.draw(json_values)
    ask(parse_application(body))
    assert parse_application({}) == Application(name="")


@pytest.mark.parametrize(
    "text", ["", "2026-11-22", "2026-11-22T12:00:00", "0001-01-01T00:00:00+14:00", "noon"]
)
def test_times_that_are_none(text: str) -> None:
    app = parse_application({"status": {"reconciledAt": text}})
    assert app.reconciled_at is None


def test_a_message_loses_its_clock_time_its_lines_and_its_length() -> None:
    first = clean("not permitted.\n Retrying attempt #1 at 5:17PM.")
    assert first == clean("not permitted. Retrying attempt #2 at 5:18PM.") == "not permitted"
    assert clean("a\x1b[31m\u2028b") == "a [31m b"
    assert len(clean("x" * 5000)) == DETAIL_LENGTH


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("code", REASONS)
def test_customers_read_plain_sentences(code: str, status: Status) -> None:
    sentence = tell_customer(code, status)
    assert sentence.startswith("Your ")
    for jargon in ("Argo", "Git", "sync", "Application", "{", "_"):
        assert jargon not in sentence

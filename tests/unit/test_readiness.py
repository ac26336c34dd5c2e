"""Ready is true (R41, R42): each thing that must be so, and what follows where it is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tenantry.core.application import Application, Resource, parse_application
from tenantry.core.model import State, Status
from tenantry.core.readiness import Trees, Wanted
from tests.readiness import GREEN, NOON, OTHERS, OURS, WANTED, ask, got, recorded

READY = ("ready", "ready")

# Entering ready: conjunct by conjunct

MISSING_ONE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no_application": ({}, {"app": None}),
    "application_deleting": ({"deleting": True}, {}),
    "not_compared": ({"revision": "refs/heads/main"}, {}),
    "commit_unknown": ({}, {"compared": None}),
    "older_content": ({}, {"compared": OTHERS}),
    "comparison_error": ({"conditions": (("ComparisonError", "why"),)}, {}),
    "syncing": ({"operation_requested": True}, {}),
    "sync_retrying": ({"phase": "Running", "retry_count": 2}, {}),
    "sync_failed": ({"phase": "Failed"}, {}),
    "operation_unclear": ({"phase": "Error"}, {"applied": None}),
    "out_of_sync": ({"sync": "OutOfSync"}, {}),
    "argocd_error": ({"conditions": (("SyncError", "why"),)}, {}),
    "awaiting_health": ({"reconciled_at": NOON - timedelta(seconds=1)}, {}),
    "starting": ({"health": "Progressing"}, {}),
    "resources_missing": ({"health": "Missing"}, {}),
    "unhealthy": ({"health": "Degraded"}, {}),
    "paused": ({"health": "Suspended"}, {}),
    "awaiting_answer": ({}, {"answers": None}),
    "not_answering": ({}, {"answers": False}),
}


def test_ready_needs_nothing_else() -> None:
    verdict = ask()
    assert got(verdict) == READY
    assert (verdict.seen, verdict.synced, verdict.healthy) == (True, True, True)
    assert (verdict.needs_probe, verdict.unknown) == (False, False)


@pytest.mark.parametrize("code", MISSING_ONE)
def test_one_thing_missing_is_not_ready_and_says_which(code: str) -> None:
    changes, arguments = MISSING_ONE[code]
    verdict = ask(**{"app": replace(GREEN, **changes), **arguments})
    assert verdict.reason_code == code
    assert verdict.status is (Status.FAILED if code == "sync_failed" else Status.PROVISIONING)
    assert verdict.needs_probe == (code == "awaiting_answer")
    assert verdict.unknown == (code in ("commit_unknown", "operation_unclear"))
    stages = list(MISSING_ONE)
    assert verdict.seen == (stages.index(code) > stages.index("comparison_error"))
    assert verdict.synced == (stages.index(code) > stages.index("argocd_error"))
    assert verdict.healthy == (stages.index(code) > stages.index("paused"))


@pytest.mark.parametrize(
    "wanted",
    [replace(WANTED, accepted_tree=None), replace(WANTED, platform_tree=None)],
)
def test_nothing_accepted_is_no_match_for_an_absent_folder(wanted: Wanted) -> None:
    trees = Trees(wanted.accepted_tree, wanted.platform_tree)
    assert got(ask(wanted=wanted, compared=trees)) == ("provisioning", "older_content")


def test_a_commit_that_renders_the_same_needs_no_operation_of_its_own() -> None:
    reverted = replace(GREEN, phase="Failed", applied_revision="d" * 40, reconciled_at=NOON)
    assert got(ask(reverted, applied=OTHERS)) == READY
    adopted = replace(GREEN, phase="", applied_revision="", finished_at=None)
    assert got(ask(adopted, applied=None)) == READY


def test_health_must_be_newer_than_an_operation_unless_that_was_not_about_us() -> None:
    early = replace(GREEN, reconciled_at=NOON - timedelta(seconds=1))
    assert got(ask(early, applied=OURS)) == ("provisioning", "awaiting_health")
    assert got(ask(early, applied=None)) == ("provisioning", "awaiting_health")
    assert got(ask(early, applied=OTHERS)) == READY


def test_an_operation_that_failed_before_it_knew_its_commit_is_not_held_against_us() -> None:
    lost = replace(GREEN, phase="Error", applied_revision="")
    assert got(ask(lost)) == ("provisioning", "operation_unclear")


def test_an_operation_that_was_only_asked_for_counts_as_running() -> None:
    body = recorded("get-healthy.json")["body"]
    assert got(ask(parse_application(body))) == READY
    assert got(ask(parse_application(body | {"operation": {"sync": {}}}))) == (
        "provisioning", "syncing"
    )  # fmt: skip


def test_a_warning_is_no_error() -> None:
    warned = replace(GREEN, conditions=(("OrphanedResourceWarning", "one"),))
    assert got(ask(warned)) == READY


# Before, and failing


def test_pending_until_published() -> None:
    waiting = replace(WANTED, published=False, accepted_tree=None)
    assert got(ask(None, wanted=waiting, before=Status.PENDING)) == ("pending", "pending")
    review = ask(None, wanted=waiting, before=Status.AWAITING_REVIEW)
    assert got(review) == ("awaiting_review", "awaiting_review")
    for before in (Status.PENDING, Status.AWAITING_REVIEW):
        assert got(ask(None, before=before)) == ("provisioning", "no_application")


def test_ready_at_first_sight_passes_through_provisioning() -> None:
    verdict = ask(before=Status.PENDING)
    assert got(verdict) == ("provisioning", "confirming")
    assert got(ask(before=verdict.status)) == READY


def test_a_failed_deployment_heals_by_evidence_only() -> None:
    failed = Status.FAILED
    assert got(ask(before=failed)) == READY
    assert got(ask(before=failed, compared=OTHERS)) == ("provisioning", "older_content")
    running = replace(GREEN, phase="Running")
    assert got(ask(running, before=failed)) == ("provisioning", "syncing")
    for silent in (
        ask(None, before=failed),
        ask(before=failed, compared=None),
        ask(Application(name="customer-x"), before=failed),
    ):
        assert silent.status is Status.FAILED


# Running


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "Running", "sync": "OutOfSync"},
        {"health": "Progressing"},
        {"health": "Unknown", "sync": "Unknown"},
        {"conditions": (("ComparisonError", "why"),), "sync": "Unknown", "revision": "main"},
        {"phase": "Failed"},
        {"reconciled_at": None},
    ],
)
def test_a_ready_tenant_stays_so_through_syncs(change: dict[str, Any]) -> None:
    verdict = ask(replace(GREEN, **change), before=Status.READY, answers=None)
    assert verdict.status is Status.READY
    assert verdict.reason_code != "ready"  # the operator still reads what is going on
    assert not verdict.needs_probe


def test_a_change_on_its_way_shows_beside_the_status() -> None:
    verdict = ask(before=Status.READY, compared=OTHERS)
    assert got(verdict) == ("ready", "older_content")
    assert (verdict.seen, verdict.synced, verdict.healthy) == (False, False, False)
    assert verdict.customer == "Your instance is running; a change to it is on its way."
    assert got(ask(before=Status.READY, compared=None, answers=None))[0] == "ready"


def test_a_ready_tenant_need_not_be_asked_again() -> None:
    verdict = ask(before=Status.READY, answers=None)
    assert got(verdict) == READY
    assert not verdict.needs_probe


@pytest.mark.parametrize("before", [Status.READY, Status.READ_ONLY, Status.DEGRADED])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"app": replace(GREEN, health="Degraded")}, "unhealthy"),
        ({"app": replace(GREEN, health="Missing")}, "resources_missing"),
        ({"app": replace(GREEN, health="Suspended")}, "paused"),
        ({"app": replace(GREEN, health="Degraded"), "compared": None}, "unhealthy"),
        ({"answers": False}, "not_answering"),
        ({"answers": False, "compared": OTHERS}, "not_answering"),
        ({"app": None}, "no_application"),
        ({"app": replace(GREEN, deleting=True)}, "application_deleting"),
    ],
)
def test_what_makes_a_running_tenant_degraded(
    before: Status, arguments: dict[str, Any], code: str
) -> None:
    assert got(ask(**arguments, before=before)) == ("degraded", code)


def test_back_from_degraded_needs_everything() -> None:
    degraded = Status.DEGRADED
    assert got(ask(before=degraded)) == READY
    assert got(ask(replace(GREEN, health="Progressing"), before=degraded)) == (
        "degraded", "starting"
    )  # fmt: skip
    asked = ask(before=degraded, answers=None)
    assert (got(asked), asked.needs_probe) == (("degraded", "awaiting_answer"), True)
    assert asked.customer == "Your instance had a problem and is recovering."


def test_an_unhealthy_object_speaks_for_itself() -> None:
    resources = (
        Resource("Deployment", "api", "Degraded", "crashes"),
        Resource("Service", "api", "Healthy", "fine"),
        Resource("Deployment", "db", "Degraded"),
    )
    verdict = ask(replace(GREEN, health="Degraded", resources=resources))
    assert verdict.operator == "A workload is not healthy: Deployment api: crashes; Deployment db"
    assert "api" not in verdict.customer


# The other states


def test_read_only_is_entered_like_ready() -> None:
    wanted = replace(WANTED, state=State.READ_ONLY)
    assert got(ask(wanted=wanted, before=Status.READY)) == ("read_only", "read_only")
    waiting = ask(wanted=wanted, before=Status.READY, compared=OTHERS)
    assert got(waiting) == ("ready", "older_content")
    asked = ask(wanted=wanted, before=Status.READY, answers=None)
    assert (got(asked), asked.needs_probe) == (("ready", "awaiting_answer"), True)
    assert got(ask(before=Status.READ_ONLY)) == READY


def test_suspended_expects_no_answer() -> None:
    wanted = replace(WANTED, state=State.SUSPENDED)
    for answers in (True, False, None):
        for app in (GREEN, replace(GREEN, health="Suspended")):
            for before in (Status.READY, Status.SUSPENDED, Status.DEGRADED):
                verdict = ask(app, wanted=wanted, before=before, answers=answers)
                assert (got(verdict), verdict.needs_probe) == (("suspended", "suspended"), False)
    stopping = ask(
        replace(GREEN, health="Progressing"), wanted=wanted, before=Status.READY, answers=False
    )
    assert got(stopping) == ("ready", "starting")
    broken = ask(replace(GREEN, health="Degraded"), wanted=wanted, before=Status.SUSPENDED)
    assert got(broken) == ("degraded", "unhealthy")


def test_a_resumed_tenant_is_suspended_until_it_answers() -> None:
    silent = ask(before=Status.SUSPENDED, answers=False)
    assert got(silent) == ("suspended", "not_answering")
    assert got(ask(before=Status.SUSPENDED)) == READY


def test_deleting_ends_only_by_proof_from_elsewhere() -> None:
    wanted = replace(WANTED, state=State.DELETING)
    assert got(ask(wanted=wanted, before=Status.READY)) == ("deleting", "deleting")
    gone = replace(GREEN, deleting=True)
    assert got(ask(gone, wanted=wanted, before=Status.DELETING)) == ("deleting", "removing")
    assert got(ask(None, before=Status.DELETING)) == ("deleting", "application_gone")
    assert got(ask(before=Status.DELETED)) == ("deleted", "deleted")

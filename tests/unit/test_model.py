"""What a tenant can be, how it moves from one status to the next, and what is wanted of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from tenantry.core.model import MOVES, SETTLED, State, Status, TenantSpec, may_move

FIELDS: dict[str, Any] = {
    "name": "customer-bbbbbbbbbb",
    "customer_id": "cust-bbbbbbbbbb",
    "company": "1e3 🔑",
    "environment": "production",
    "created_at": datetime(2026, 11, 23, tzinfo=UTC),
    "host": "cust-bbbbbbbbbb.localhost",
    "plan": "starter",
    "state": State.READ_ONLY,
    "platform": "v1",
    "license_id": "1",
    "secret_versions": {"PASSWORD": "1"},
    "volumes": {"data": "5Gi"},
}
RUNNING = [Status.READY, Status.DEGRADED, Status.READ_ONLY, Status.SUSPENDED]


def test_every_status_of_the_requirement_has_its_moves() -> None:
    names = "pending awaiting_review provisioning ready degraded failed read_only suspended"
    assert {status.value for status in Status} == {*names.split(), "deleting", "deleted"}
    assert MOVES.keys() == set(Status)


def test_staying_is_always_allowed_and_never_listed() -> None:
    assert all(may_move(status, status) for status in Status)
    assert all(status not in MOVES[status] for status in Status)


def test_every_status_is_reached_from_a_signup() -> None:
    reached, edge = {Status.PENDING}, {Status.PENDING}
    while edge:
        edge = {new for old in edge for new in MOVES[old]} - reached
        reached |= edge
    assert reached == set(Status)


def test_deletion_is_the_only_end_and_has_no_way_back() -> None:
    assert [status for status in Status if not MOVES[status]] == [Status.DELETED]
    assert MOVES[Status.DELETING] == {Status.DELETED}
    every_but_ends = set(Status) - {Status.DELETED}
    assert all(may_move(status, Status.DELETING) for status in every_but_ends)


@pytest.mark.parametrize("old", [Status.PENDING, Status.AWAITING_REVIEW])
@pytest.mark.parametrize("new", [*RUNNING, Status.FAILED, Status.DELETED])
def test_nothing_runs_or_fails_before_it_was_committed(old: Status, new: Status) -> None:
    assert not may_move(old, new)


@pytest.mark.parametrize("old", RUNNING)
def test_what_ran_never_goes_back_to_a_first_deployment(old: Status) -> None:
    assert not {Status.PENDING, Status.AWAITING_REVIEW, Status.PROVISIONING} & MOVES[old]
    assert set(RUNNING) - {old} <= MOVES[old]


def test_failed_first_deployment_may_still_heal() -> None:
    assert {Status.PROVISIONING, Status.READY} <= MOVES[Status.FAILED]


def test_what_is_on_its_way_is_not_settled() -> None:
    on_the_way = {Status.PENDING, Status.AWAITING_REVIEW, Status.PROVISIONING, Status.DELETING}
    assert set(Status) - SETTLED == on_the_way


def test_spec_survives_the_database_unchanged() -> None:
    spec = TenantSpec(**FIELDS)
    assert TenantSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_spec_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="replicas"):
        TenantSpec(**FIELDS | {"replicas": 2})


@pytest.mark.parametrize("missing", FIELDS)
def test_spec_has_no_defaults(missing: str) -> None:
    with pytest.raises(ValidationError, match=missing):
        TenantSpec(**{name: value for name, value in FIELDS.items() if name != missing})


def test_spec_cannot_be_changed_in_place() -> None:
    spec: Any = TenantSpec(**FIELDS)
    with pytest.raises(ValidationError, match="frozen"):
        spec.plan = "enterprise"

"""Pull requests follow branches, and what reviewers do at a forge is noticed. Forges are fakes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tenantry.adapters.forge import make_forge
from tenantry.core.model import State, Status
from tenantry.core.review import ChangeKind, Outcome
from tenantry.flows.reviewing.changes import request_change
from tenantry.flows.reviewing.ending import decline
from tenantry.flows.reviewing.review import Reviewer
from tests.forges import KINDS, PROJECT, TOKEN, FakeForge, serve_forge
from tests.system.reviewer import Person, ask, newest, review
from tests.system.world import World, make_world


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Of these, nothing depends on the kind of database."""
    return f"sqlite:///{tmp_path}/tenantry.db"


@pytest.fixture(params=["github"])
def forge(request: pytest.FixtureRequest) -> Iterator[FakeForge]:
    with serve_forge(request.param) as served:
        yield served


@pytest.fixture
def world(tmp_path: Path, database_url: str, forge: FakeForge) -> Iterator[World]:
    """The default policy, with a forge."""
    world = make_world(tmp_path, database_url)
    known = make_forge(
        forge.kind, url=forge.url, project=PROJECT, token=lambda: TOKEN, ca_file=None, deadline=5
    )
    world.service = replace(world.service, cells={"main": replace(world.cell, forge=known)})
    yield world
    world.service.database.close()


@pytest.fixture
def customer_id(world: World) -> str:
    found = world.sign_up().customer_id
    world.publish()
    return found


def suspend(world: World, customer_id: str) -> None:
    request_change(
        world.service, world.cell, customer_id, ChangeKind.STATE, {"state": State.SUSPENDED},
        actor="operator",
    )  # fmt: skip
    world.publish()


@pytest.mark.parametrize("forge", sorted(KINDS), indirect=True)
def test_change_is_opened_declined_reopened_and_merged(
    world: World, forge: FakeForge, customer_id: str
) -> None:
    branch = ask(world, customer_id)
    (pull,) = forge.pulls.values()
    assert (pull.branch, pull.state) == (branch, "open")
    assert customer_id in pull.title
    assert "starter" in pull.body
    assert "professional" in pull.body
    assert newest(world, customer_id).url

    forge.close(pull.number, by="rita")
    review(world)
    declined = newest(world, customer_id)
    assert declined.outcome == Outcome.DECLINED
    assert declined.decided_by in ("rita", "who closed it")  # not every forge says who

    forge.reopen(pull.number)
    review(world)
    assert newest(world, customer_id).outcome is None

    Person(world).squash(branch)
    forge.merge(pull.number)
    review(world)
    assert world.tenant(customer_id).approved["plan"] == "professional"
    assert len(forge.pulls) == 1


def test_text_follows_the_branch_and_is_told_once(
    world: World, forge: FakeForge, customer_id: str
) -> None:
    ask(world, customer_id)
    pull = forge.pulls[1]
    forge.asked.clear()
    review(world)  # as after a restart: nothing is known but what is on record
    assert [each for each in forge.asked if not each.startswith("GET")] == []
    assert len(forge.asked) <= 2

    suspend(world, customer_id)
    review(world)
    assert "suspended" in pull.body
    assert len(forge.pulls) == 1


def test_declined_signup_is_said_to_the_customer(
    tmp_path: Path, database_url: str, forge: FakeForge
) -> None:
    world = make_world(tmp_path, database_url, cell={"review_everything": True})
    customer_id = world.sign_up().customer_id
    review(world)
    assert decline(world.service, world.cell, customer_id, actor="operator") == 1
    tenant = world.tenant(customer_id)
    assert (tenant.status, tenant.reason_code) == (Status.AWAITING_REVIEW, "declined")
    world.service.database.close()


def test_moot_pull_request_is_closed(world: World, forge: FakeForge, customer_id: str) -> None:
    ask(world, customer_id)
    decline(world.service, world.cell, customer_id, actor="operator")
    review(world)
    assert forge.pulls[1].state == "closed"
    assert forge.pulls[1].comments


def test_moot_pull_request_is_closed_later_where_the_forge_fails_at_first(
    world: World, forge: FakeForge, customer_id: str
) -> None:
    """Nothing else would: a branch with a reviewer's own commit stays, too."""
    branch = ask(world, customer_id)
    Person(world).edit(branch, "notes.txt", "looked at")
    forge.fail_next = ["", "500"]
    decline(world.service, world.cell, customer_id, actor="operator")
    review(world)
    assert forge.pulls[1].state == "open"
    world.wait(10)
    review(world)
    assert forge.pulls[1].state == "closed"


def test_two_workers_that_open_the_same_open_one(
    world: World, forge: FakeForge, customer_id: str
) -> None:
    forge.fail_next = ["500"]  # so the first dies after its branch is pushed
    branch = ask(world, customer_id)
    assert forge.pulls == {}
    forge.add(branch, title="of the other worker")
    review(world)
    assert [pull.branch for pull in forge.pulls.values()] == [branch]
    assert "other worker" not in forge.pulls[1].title


def test_forge_that_asks_for_patience_gets_it(
    world: World, forge: FakeForge, customer_id: str
) -> None:
    reviewer = Reviewer(world.service, world.cell, timedelta(seconds=1))
    request_change(
        world.service, world.cell, customer_id, ChangeKind.PLAN, {"plan": "professional"},
        actor="operator",
    )  # fmt: skip
    forge.fail_next = ["limit by end alone"]
    reviewer.look()
    asked = len(forge.asked)
    world.clock.time += timedelta(seconds=3)
    reviewer.look()
    assert (len(forge.asked), forge.pulls) == (asked, {})
    world.clock.time += timedelta(seconds=7)
    reviewer.look()
    assert len(forge.pulls) == 1


@pytest.mark.parametrize("failure", ["401", "422", "500", "half"])
def test_forge_in_trouble_costs_no_change(
    world: World, forge: FakeForge, customer_id: str, failure: str
) -> None:
    forge.fail_next = [failure, failure]
    branch = ask(world, customer_id)
    assert newest(world, customer_id).outcome is None
    forge.fail_next = []
    world.wait(10)
    review(world)
    assert [pull.branch for pull in forge.pulls.values()] == [branch]


def test_what_waits_after_a_merge_gets_a_pull_request_of_its_own(
    world: World, forge: FakeForge, customer_id: str
) -> None:
    branch = ask(world, customer_id)
    request_change(
        world.service, world.cell, customer_id, ChangeKind.DELETE, {"state": State.DELETING},
        actor="operator",
    )  # fmt: skip
    Person(world).merge(branch)  # before the update was pushed
    forge.merge(1)
    review(world)
    review(world)
    tenant = world.tenant(customer_id)
    assert (tenant.approved["plan"], tenant.approved["state"]) == ("professional", "active")
    assert forge.pulls[2].state == "open"
    assert "deleting" in forge.pulls[2].body


def test_change_after_a_declined_one_gets_a_pull_request_of_its_own(
    world: World, forge: FakeForge, customer_id: str
) -> None:
    ask(world, customer_id)
    forge.close(1)
    review(world)
    assert newest(world, customer_id).outcome == Outcome.DECLINED
    ask(world, customer_id, "enterprise")
    review(world)
    assert newest(world, customer_id).outcome is None
    assert forge.pulls[2].state == "open"


def test_change_asked_for_right_after_a_decline_is_not_closed_with_it(
    world: World, forge: FakeForge, customer_id: str
) -> None:
    ask(world, customer_id)
    decline(world.service, world.cell, customer_id, actor="operator")
    ask(world, customer_id, "enterprise")
    for _ in range(2):
        review(world)
    assert newest(world, customer_id).outcome is None
    assert [pull.state for pull in forge.pulls.values()] == ["closed", "open"]


def test_pull_request_that_is_gone_stops_no_other(
    world: World, forge: FakeForge, customer_id: str
) -> None:
    branch = ask(world, customer_id)
    del forge.pulls[1]
    other = world.sign_up().customer_id
    world.publish()
    ask(world, other)
    review(world)
    assert {pull.branch for pull in forge.pulls.values()} == {branch, f"tenantry/{other}"}


def test_pull_request_whose_branch_was_deleted_is_closed(
    world: World, forge: FakeForge, customer_id: str
) -> None:
    branch = ask(world, customer_id)
    Person(world).git("push", "-q", "origin", f":{branch}")
    review(world)
    assert newest(world, customer_id).outcome == Outcome.DECLINED
    assert forge.pulls[1].state == "closed"
    assert branch not in world.git("branch")


def test_text_that_was_merged_stays(world: World, forge: FakeForge, customer_id: str) -> None:
    branch = ask(world, customer_id)
    merged = forge.pulls[1].body
    Person(world).squash(branch)
    forge.merge(1)
    request_change(
        world.service, world.cell, customer_id, ChangeKind.DELETE, {"state": State.DELETING},
        actor="operator",
    )  # fmt: skip
    review(world)
    review(world)
    assert forge.pulls[1].body == merged
    assert forge.pulls[2].state == "open"

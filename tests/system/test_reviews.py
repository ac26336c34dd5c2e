"""Changes that wait for a person: on real repositories, merged in every way that people merge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tenantry.core import naming
from tenantry.core.errors import ChangeRefused, OverlayRefused
from tenantry.core.model import State, Status, TenantSpec
from tenantry.core.review import ChangeKind, Mode, Outcome
from tenantry.flows.reviewing.changes import request_change
from tenantry.flows.reviewing.ending import decline
from tenantry.flows.reviewing.settle import settle
from tests.invariants import check_invariants
from tests.system.fleet import second_clone
from tests.system.reviewer import Person, ask, changes, newest, review
from tests.system.world import World, make_world

Merge = Callable[[Person, str], None]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Of these, nothing depends on the kind of database."""
    return f"sqlite:///{tmp_path}/tenantry.db"


@pytest.fixture
def reviewed(tmp_path: Path, database_url: str) -> Iterator[World]:
    """Every change waits for a person."""
    cell = {"review_everything": True}
    world = make_world(tmp_path, database_url, cell=cell)
    yield world
    world.service.database.close()


@pytest.fixture
def running(tmp_path: Path, database_url: str) -> Iterator[tuple[World, str]]:
    """The default policy, and a tenant that runs."""
    world = make_world(tmp_path, database_url)
    customer_id = world.sign_up().customer_id
    world.publish()
    yield world, customer_id
    world.service.database.close()


@pytest.mark.parametrize("merge", [Person.merge, Person.squash, Person.rebase])
def test_signup_waits_for_its_merge(reviewed: World, merge: Merge) -> None:
    customer_id = reviewed.sign_up().customer_id
    assert reviewed.publish().tenants == {}
    review(reviewed)
    assert reviewed.tenant(customer_id).status == Status.AWAITING_REVIEW
    assert naming.folder_of(customer_id) not in reviewed.git("ls-tree", "-r", "main")
    merge(Person(reviewed), f"tenantry/{customer_id}")
    review(reviewed)
    tenant = reviewed.tenant(customer_id)
    assert (tenant.status, tenant.generation) == (Status.PROVISIONING, 1)
    assert tenant.published_generation == 1
    assert newest(reviewed, customer_id).outcome == Outcome.APPLIED
    assert reviewed.publish().pushes == 0
    check_invariants(reviewed.service)


def test_several_signups_share_a_branch_and_one_of_them_is_declined(reviewed: World) -> None:
    ids = sorted(reviewed.sign_up().customer_id for _ in range(3))
    review(reviewed)
    branch = newest(reviewed, ids[0]).branch
    assert branch is not None
    assert {newest(reviewed, each).branch for each in ids} == {branch}
    assert branch.startswith("tenantry/signups-")
    person = Person(reviewed)
    person.to(branch)
    person.git("rm", "-q", "-r", naming.folder_of(ids[0]))
    person.git("commit", "-q", "-m", "not this one")
    person.git("push", "-q", "origin", branch)
    assert decline(reviewed.service, reviewed.cell, ids[1], actor="operator") == 1
    review(reviewed)
    review(reviewed)
    Person(reviewed).merge(branch)
    review(reviewed)
    outcomes = {each: newest(reviewed, each).outcome for each in ids}
    assert outcomes == {
        ids[0]: Outcome.DECLINED, ids[1]: Outcome.DECLINED, ids[2]: Outcome.APPLIED,
    }  # fmt: skip
    assert newest(reviewed, ids[0]).decided_by == "Ada Reviewer"
    on_main = reviewed.git("ls-tree", "-r", "main")
    assert [naming.folder_of(each) in on_main for each in ids] == [False, False, True]


@pytest.mark.parametrize("merge", [Person.merge, Person.squash, Person.rebase])
def test_plan_waits_and_a_renewal_passes_it(running: tuple[World, str], merge: Merge) -> None:
    world, customer_id = running
    branch = ask(world, customer_id)
    renewed = request_change(
        world.service, world.cell, customer_id, ChangeKind.LICENSE, {}, actor="operator"
    )
    assert renewed.mode == Mode.DIRECT
    assert world.publish().tenants.keys() == {customer_id}
    license_id = world.tenant(customer_id).approved["license_id"]
    assert license_id in world.git(
        "show", f"main:{naming.folder_of(customer_id)}/kustomization.yaml"
    )
    review(world)
    shown = world.git("show", f"{branch}:{naming.folder_of(customer_id)}/kustomization.yaml")
    assert license_id in shown
    assert "plans/professional" in shown
    merge(Person(world), branch)
    review(world)
    tenant = world.tenant(customer_id)
    assert tenant.approved["plan"] == "professional"
    assert tenant.approved["license_id"] != license_id
    assert world.publish().tenants.keys() == {customer_id}  # the plan's own license
    assert world.publish().pushes == 0
    check_invariants(world.service)


def test_publisher_takes_up_a_merge_before_it_builds(running: tuple[World, str]) -> None:
    world, customer_id = running
    branch = ask(world, customer_id)
    request_change(
        world.service, world.cell, customer_id, ChangeKind.STATE, {"state": State.READ_ONLY},
        actor="operator",
    )  # fmt: skip
    Person(world).squash(branch)
    assert world.publish().tenants.keys() == {customer_id}
    approved = world.tenant(customer_id).approved
    assert (approved["plan"], approved["state"]) == ("professional", "read-only")
    assert world.tenant(customer_id).set_aside is None


def test_branch_that_is_deleted_was_declined_and_comes_back(running: tuple[World, str]) -> None:
    world, customer_id = running
    branch = ask(world, customer_id)
    Person(world).git("push", "-q", "origin", f":{branch}")
    review(world)
    assert newest(world, customer_id).outcome == Outcome.DECLINED
    assert world.tenant(customer_id).approved["plan"] == "starter"
    ask(world, customer_id)
    Person(world).merge(branch)
    review(world)
    assert world.tenant(customer_id).approved["plan"] == "professional"


def test_what_a_reviewer_adds_to_local_is_merged_with_it(running: tuple[World, str]) -> None:
    world, customer_id = running
    branch = ask(world, customer_id)
    path = f"{naming.folder_of(customer_id)}/local/kustomization.yaml"
    kind = (
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
        "configMapGenerator:\n- name: reviewed\n  literals: [by=ada]\n"
    )
    Person(world).edit(branch, path, kind)
    review(world)
    Person(world).squash(branch)
    review(world)
    assert world.tenant(customer_id).approved["plan"] == "professional"
    world.publish()
    shown = world.git("show", f"main:{naming.folder_of(customer_id)}/kustomization.yaml")
    assert '- "local"' in shown or "- local" in shown
    assert world.tenant(customer_id).set_aside is None


def test_what_a_reviewer_edits_stays_through_updates_and_after_the_merge(
    running: tuple[World, str],
) -> None:
    world, customer_id = running
    branch = ask(world, customer_id)
    folder = naming.folder_of(customer_id)
    ingress = world.git("show", f"{branch}:{folder}/ingress.yaml")
    edited = f"{ingress}\n# asked for by the customer"
    Person(world).edit(branch, f"{folder}/ingress.yaml", f"{edited}\n")
    review(world)
    request_change(world.service, world.cell, customer_id, ChangeKind.LICENSE, {}, actor="operator")
    world.publish()
    review(world)
    assert world.git("show", f"{branch}:{folder}/ingress.yaml") == edited
    Person(world).squash(branch)
    review(world)
    world.publish()
    tenant = world.tenant(customer_id)
    assert (tenant.set_aside, tenant.approved["plan"]) == (None, "professional")
    assert world.git("show", f"main:{folder}/ingress.yaml") == edited
    assert tenant.rendered_tree is not None
    assert set(tenant.edited_files or ()) == {"ingress.yaml"}


def test_reverted_merge_is_followed(running: tuple[World, str]) -> None:
    world, customer_id = running
    request_change(
        world.service, world.cell, customer_id, ChangeKind.DELETE, {"state": State.DELETING},
        actor="operator",
    )  # fmt: skip
    review(world)
    person = Person(world)
    person.merge(f"tenantry/{customer_id}")
    review(world)
    assert world.tenant(customer_id).approved["state"] == "deleting"
    person.git("revert", "--no-edit", "-m", "1", "HEAD")
    person.git("push", "-q", "origin", "main")
    review(world)
    assert world.tenant(customer_id).approved["state"] == "active"
    assert newest(world, customer_id).outcome == Outcome.REVERTED
    assert world.publish().pushes == 0


def test_branch_follows_when_main_moves_under_it(running: tuple[World, str]) -> None:
    world, customer_id = running
    branch = ask(world, customer_id)
    world.sign_up()
    world.publish()
    request_change(
        world.service, world.cell, customer_id, ChangeKind.STATE, {"state": State.SUSPENDED},
        actor="operator",
    )  # fmt: skip
    world.publish()
    review(world)
    assert "Merge main" in world.git("log", "--format=%s", branch)
    Person(world).merge(branch)  # without a conflict
    review(world)
    approved = world.tenant(customer_id).approved
    assert (approved["plan"], approved["state"]) == ("professional", "suspended")


def test_branch_goes_with_what_waited_on_it_unless_somebody_added_to_it(
    running: tuple[World, str],
) -> None:
    world, customer_id = running
    branch = ask(world, customer_id)
    Person(world).merge(branch)
    review(world)
    assert branch not in world.git("branch")
    world.publish()

    ask(world, customer_id, "enterprise")
    reviewer = Person(world)
    decline(world.service, world.cell, customer_id, actor="operator")
    reviewer.edit(branch, "notes.txt", "why not\n")
    world.cell.repository.fetch()
    review(world)
    ask(world, customer_id, "enterprise")  # and goes on upon what is there
    assert "notes.txt" in world.git("ls-tree", "--name-only", branch)
    Person(world).merge(branch)
    review(world)
    assert world.tenant(customer_id).approved["plan"] == "enterprise"


def test_what_a_reviewer_edited_is_not_overwritten_and_said(running: tuple[World, str]) -> None:
    world, customer_id = running
    branch = ask(world, customer_id)
    path = f"{naming.folder_of(customer_id)}/kustomization.yaml"
    edited = world.git("show", f"{branch}:{path}") + "\n# mine"
    Person(world).edit(branch, path, f"{edited}\n")
    request_change(world.service, world.cell, customer_id, ChangeKind.LICENSE, {}, actor="operator")
    review(world)
    assert world.git("show", f"{branch}:{path}") == edited
    (waits,) = (each for each in changes(world, customer_id) if each.outcome is None)
    assert "kustomization.yaml" in waits.as_text()
    assert "kustomization.yaml" in str(waits.error)


def test_what_cannot_be_kept_is_no_merge_and_stops_nobody(running: tuple[World, str]) -> None:
    world, customer_id = running
    branch = ask(world, customer_id)
    path = f"{naming.folder_of(customer_id)}/further/notes.txt"
    Person(world).edit(branch, path, "a folder within the folder\n")
    other = world.sign_up().customer_id
    assert world.publish().tenants.keys() == {other}
    review(world)
    Person(world).merge(branch)
    third = world.sign_up().customer_id
    assert world.publish().tenants.keys() == {third}
    assert world.tenant(customer_id).approved["plan"] == "starter"
    assert "further/notes.txt" in world.git("ls-tree", "-r", "--name-only", "main")


def test_plan_that_is_reverted_is_followed_with_a_license_of_its_own(
    running: tuple[World, str],
) -> None:
    world, customer_id = running
    branch = ask(world, customer_id)
    Person(world).merge(branch)
    review(world)
    world.publish()  # the plan's license
    upgraded = world.tenant(customer_id).approved["license_id"]
    person = Person(world)
    person.to("main")
    person.git("revert", "--no-edit", "-m", "1", "HEAD~1")
    person.git("push", "-q", "origin", "main")
    review(world)
    approved = world.tenant(customer_id).approved
    assert approved["plan"] == "starter"
    assert approved["license_id"] != upgraded
    assert newest(world, customer_id).outcome == Outcome.REVERTED
    assert world.publish().tenants.keys() == {customer_id}
    assert world.tenant(customer_id).set_aside is None
    check_invariants(world.service)


def test_worker_that_fetched_before_a_merge_does_not_take_it_back(
    running: tuple[World, str],
) -> None:
    world, customer_id = running
    branch = ask(world, customer_id)
    before = world.cell.repository.fetch()
    Person(world).squash(branch)
    review(world)
    assert not settle(world.service, world.cell, before)
    assert world.tenant(customer_id).approved["plan"] == "professional"
    assert newest(world, customer_id).outcome == Outcome.APPLIED


def test_worker_that_fetched_before_a_push_does_not_decline_it(
    running: tuple[World, str],
) -> None:
    world, customer_id = running
    late = second_clone(world)
    head = late.fetch()
    ask(world, customer_id)
    assert not settle(world.service, replace(world.cell, repository=late), head)
    assert newest(world, customer_id).outcome is None


@pytest.mark.parametrize("merge", [Person.merge, Person.rebase])
def test_reviewers_commit_that_was_merged_before_it_was_looked_at_counts(
    running: tuple[World, str], merge: Merge
) -> None:
    world, customer_id = running
    branch = ask(world, customer_id)
    path = f"{naming.folder_of(customer_id)}/ingress.yaml"
    edited = world.git("show", f"{branch}:{path}") + "\n# by hand"
    Person(world).edit(branch, path, f"{edited}\n")
    merge(Person(world), branch)
    review(world)
    assert world.tenant(customer_id).approved["plan"] == "professional"
    world.publish()
    assert world.git("show", f"main:{path}") == edited
    assert world.tenant(customer_id).set_aside is None


def test_a_deletion_is_asked_for_as_one_and_nothing_else_is(running: tuple[World, str]) -> None:
    """Else the policy of another kind would let it through without a review."""
    world, customer_id = running
    for kind, state in (
        (ChangeKind.STATE, State.DELETING),
        (ChangeKind.DELETE, State.SUSPENDED),
    ):
        with pytest.raises(ChangeRefused, match=f"nothing becomes {state}"):
            request_change(
                world.service, world.cell, customer_id, kind, {"state": state}, actor="operator"
            )
    assert world.tenant(customer_id).approved["state"] == State.ACTIVE


def test_signup_that_was_declined_is_changed_no_more(reviewed: World) -> None:
    customer_id = reviewed.sign_up().customer_id
    review(reviewed)
    decline(reviewed.service, reviewed.cell, customer_id, actor="operator")
    with pytest.raises(ChangeRefused, match="declined"):
        ask(reviewed, customer_id)


def test_what_is_edited_on_main_meanwhile_is_on_the_branch_too(running: tuple[World, str]) -> None:
    world, customer_id = running
    branch = ask(world, customer_id)
    path = f"{naming.folder_of(customer_id)}/ingress.yaml"
    edited = world.git("show", f"main:{path}") + "\n# by hand"
    Person(world).edit("main", path, f"{edited}\n")
    request_change(world.service, world.cell, customer_id, ChangeKind.LICENSE, {}, actor="operator")
    world.publish()
    review(world)
    assert world.git("show", f"{branch}:{path}") == edited
    Person(world).merge(branch)
    review(world)
    world.publish()
    assert world.git("show", f"main:{path}") == edited
    assert world.tenant(customer_id).approved["plan"] == "professional"


def test_signup_that_is_refused_keeps_none_of_its_branch_waiting(
    reviewed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = sorted(reviewed.sign_up().customer_id for _ in range(3))
    verify = reviewed.cell.checker.verify

    def refuse(spec: TenantSpec, *files: Any, **beside: Any) -> None:
        if spec.customer_id == ids[0]:
            raise OverlayRefused(["not this one"])
        verify(spec, *files, **beside)

    monkeypatch.setattr(reviewed.cell.checker, "verify", refuse)
    review(reviewed)
    review(reviewed)
    first, *others = (newest(reviewed, each) for each in ids)
    assert first.branch == f"tenantry/{ids[0]}"
    assert "not this one" in str(first.error)
    assert {each.error for each in others} == {None}
    assert {each.branch for each in others} <= set(reviewed.git("branch").split())

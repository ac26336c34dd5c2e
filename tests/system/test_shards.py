"""The shards' branches: they move with main, follow people, and are never forced (R40)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tenantry.adapters.git import Before
from tenantry.core import shards
from tenantry.core.errors import ArgoUnreachable, RepositoryError
from tenantry.core.finding import Finding, Kind
from tenantry.flows.auditing.repository import accept_history
from tenantry.flows.publishing.batch import publish_batch
from tenantry.flows.publishing.shards import follow_main
from tests.invariants import check_invariants
from tests.system.fleet import look as audit
from tests.system.fleet import publish_all, second_clone
from tests.system.renaming import rename_company
from tests.system.world import FEW_SHARDS as FEW
from tests.system.world import PASSWORD, World, make_world


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Of these, nothing depends on the kind of database."""
    return f"sqlite:///{tmp_path}/tenantry.db"


@pytest.fixture
def few(tmp_path: Path, database_url: str) -> Iterator[World]:
    world = make_world(tmp_path, database_url)
    yield world
    world.service.database.close()


class Heard:
    """What Argo CD's ApplicationSet controller is told."""

    def __init__(self, world: World) -> None:
        self.pushes: list[tuple[str, str | None, str, Sequence[str]]] = []
        self.is_deaf = False
        cell = replace(world.cell, announce=self.hear)
        world.service = replace(world.service, cells={cell.name: cell})

    def hear(self, branch: str, before: str | None, after: str, paths: Sequence[str]) -> None:
        self.pushes.append((branch, before, after, list(paths)))
        if self.is_deaf:
            raise ArgoUnreachable


def branch_of(world: World, customer_id: str) -> str:
    return shards.branch_of(world.folder_of(customer_id), world.cell.shards)


def at(world: World, branch: str) -> str:
    return world.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")


def branches(world: World) -> dict[str, str]:
    listed = world.git("for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads")
    found = dict(line.split() for line in listed.splitlines())
    return {branch: commit for branch, commit in found.items() if branch != "main"}


def protect(world: World, *wanted: str) -> Path:
    """The server lets nobody move these branches."""
    hook = world.remote / "hooks" / "update"
    hook.write_text(f"#!/bin/sh\nfor b in {' '.join(wanted)}; do [ $1 != refs/heads/$b ] || "
                    "{ echo GH006: Protected branch >&2; exit 1; }; done\n")  # fmt: skip
    hook.chmod(0o755)
    return hook


def set_elsewhere(world: World, branch: str) -> str:
    """Somebody has the branch be at a commit of their own."""
    tree = world.git("rev-parse", "main^{tree}")
    who = ("-c", "user.name=R", "-c", "user.email=r@example.com")
    commit = world.git(*who, "commit-tree", tree, "-m", "mine")
    world.git("update-ref", f"refs/heads/{branch}", commit)
    return commit


def fill(few: World) -> list[str]:
    """Publish until each shard has got a tenant."""
    customers: list[str] = []
    while len({branch_of(few, each) for each in customers}) < FEW:
        customers += publish_all(few, 4)
    return customers


def misplaced(world: World) -> dict[str | None, Finding]:
    kinds = (Kind.SHARD_ASTRAY, Kind.SHARD_BEHIND)
    return {each.path: each for each in audit(world).findings if each.kind in kinds}


# With main


def test_all_branches_are_made_with_the_first_push_and_each_tenant_moves_its_own(
    world: World,
) -> None:
    first = publish_all(world, 1)[0]
    assert branches(world).keys() == {shards.branch(each) for each in shards.all_shards(FEW)}
    founded, provisioned = world.git("rev-parse", "main~1"), world.git("rev-parse", "main")
    assert at(world, branch_of(world, first)) == provisioned
    assert set(branches(world).values()) == {founded, provisioned}
    before = branches(world)
    second = publish_all(world, 1)[0]
    moved = {branch for branch, commit in branches(world).items() if commit != before[branch]}
    assert moved == {branch_of(world, second)}


def test_branch_moves_to_the_last_commit_of_the_batch_that_touches_its_shard(few: World) -> None:
    publish_all(few, 12)
    for number in range(FEW):
        folders = shards.folders(f"{number:02x}", FEW)
        last = few.git("log", "-1", "--format=%H", "main", "--", *folders)
        assert not last or at(few, f"shard/{number:02x}") == last
    check_invariants(few.service, canaries=[PASSWORD])


def test_change_of_a_tenant_moves_its_branch_too(world: World) -> None:
    (customer_id,) = publish_all(world, 1)
    rename_company(world.service, customer_id, "New", actor="t", now=world.clock())
    world.publish()
    assert at(world, branch_of(world, customer_id)) == world.git("rev-parse", "main")


def test_death_after_the_push_leaves_main_and_branches_together(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_all(world, 1)
    customer_id, push = world.sign_up().customer_id, world.cell.repository.push

    def push_and_die(moves: Mapping[str, str]) -> Before:
        push(moves)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(world.cell.repository, "push", push_and_die)
        with pytest.raises(KeyboardInterrupt):
            world.publish()
    assert at(world, branch_of(world, customer_id)) == world.git("rev-parse", "main")
    assert world.publish().tenants.keys() == {customer_id}


def test_two_publishers_leave_each_branch_where_main_has_it(
    few: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other pushes after we fetched; ours is read again, rebuilt, and moves on from there."""
    publish_all(few, 1)
    ours, theirs = (few.sign_up().customer_id for _ in range(2))
    other = replace(few.cell, repository=second_clone(few))
    push = few.cell.repository.push
    rivals = iter([True])

    def push_after_the_other(moves: Mapping[str, str]) -> Before:
        if next(rivals, False):
            service = replace(few.service, cells={"main": other})
            publish_batch(service, other, [theirs])
        return push(moves)

    assert other.lease is few.cell.lease
    monkeypatch.setattr(few.cell.repository, "push", push_after_the_other)
    few.publish()
    commits = {few.tenant(each).published_commit for each in (ours, theirs)}
    assert commits == set(few.git("log", "-2", "--format=%H", "main").split())
    check_invariants(few.service, canaries=[PASSWORD])


# Nudges


def test_each_branch_with_new_tenants_is_told_of_once(few: World) -> None:
    publish_all(few, 1)
    heard, before = Heard(few), branches(few)
    customers = publish_all(few, 10)
    told = {branch: (old, new, paths) for branch, old, new, paths in heard.pushes}
    assert len(told) == len(heard.pushes)
    for branch in {branch_of(few, each) for each in customers}:
        folders = sorted(
            few.folder_of(each) for each in customers if branch_of(few, each) == branch
        )
        old, new, paths = told.pop(branch)
        assert (old, new) == (before[branch], at(few, branch))
        assert sorted(paths) == [f"{folder}/tenant.json" for folder in folders]
    assert told == {}


def test_changes_of_tenants_that_argo_cd_knows_are_told_to_nobody(few: World) -> None:
    customers = publish_all(few, 3)
    heard = Heard(few)
    for customer_id in customers:
        rename_company(few.service, customer_id, "New", actor="t", now=few.clock())
    assert few.publish().tenants.keys() == set(customers)
    assert heard.pushes == []


def test_webhook_that_is_away_is_asked_once(few: World) -> None:
    heard = Heard(few)
    heard.is_deaf = True
    assert len(publish_all(few, 10)) == 10
    assert len(heard.pushes) == 1


# What the server, or somebody, keeps from moving


def test_branch_that_was_set_elsewhere_stops_neither_main_nor_others(few: World) -> None:
    publish_all(few, 1)
    elsewhere = set_elsewhere(few, "shard/00")
    fill(few)
    assert at(few, "shard/00") == elsewhere
    found = misplaced(few)
    assert found.keys() == {"shard/00"}
    assert found["shard/00"].kind == Kind.SHARD_ASTRAY
    assert "origin/main:refs/heads/shard/00" in found["shard/00"].remedy
    assert follow_main(few.service, few.cell)  # nothing is left that it may do
    assert at(few, "shard/00") == elsewhere
    few.git("update-ref", "refs/heads/shard/00", "main")
    assert misplaced(few) == {}
    check_invariants(few.service, canaries=[PASSWORD])


def test_branch_ahead_of_main_is_left_where_it_is(few: World) -> None:
    publish_all(few, 1)
    who = ("-c", "user.name=R", "-c", "user.email=r@example.com")
    ahead = few.git(*who, "commit-tree", "main^{tree}", "-p", "main", "-m", "not merged yet")
    few.git("update-ref", "refs/heads/shard/00", ahead)
    fill(few)
    assert at(few, "shard/00") == ahead
    assert misplaced(few)["shard/00"].kind == Kind.SHARD_ASTRAY


def test_branch_that_is_gone_is_made_again(few: World) -> None:
    publish_all(few, 1)
    for number in range(FEW):
        few.git("update-ref", "-d", f"refs/heads/shard/{number:02x}")
    (customer_id,) = publish_all(few, 1)
    assert branches(few) == {branch_of(few, customer_id): few.git("rev-parse", "main")}
    follow_main(few.service, few.cell)
    assert len(branches(few)) == FEW
    check_invariants(few.service, canaries=[PASSWORD])


@pytest.mark.parametrize("wanted", [["shard/00"], [f"shard/{n:02x}" for n in range(FEW)]])
def test_protected_branches_stop_no_publishing_and_are_found(few: World, wanted: list[str]) -> None:
    publish_all(few, 1)
    hook = protect(few, *wanted)
    customers = fill(few)
    assert all(few.tenant(each).published_generation == 1 for each in customers)
    found = misplaced(few)
    assert found.keys() == set(wanted)
    assert {each.kind for each in found.values()} == {Kind.SHARD_BEHIND}
    assert "let the cell's token or key push to shard/*" in found["shard/00"].remedy
    assert follow_main(few.service, few.cell) is None
    hook.unlink()
    assert follow_main(few.service, few.cell)
    assert misplaced(few) == {}
    check_invariants(few.service, canaries=[PASSWORD])


def test_server_that_refuses_whatever_holds_a_branch_stops_no_publishing(few: World) -> None:
    """Some say no more than that a hook declined, of every ref of the push."""
    publish_all(few, 1)
    hook = few.remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\n! grep -q refs/heads/shard/\n")
    hook.chmod(0o755)
    customers = publish_all(few, 4)
    assert all(few.tenant(each).published_generation == 1 for each in customers)
    assert all(few.tenant(each).set_aside is None for each in customers)
    assert misplaced(few).keys() == {branch_of(few, each) for each in customers}
    hook.unlink()
    follow_main(few.service, few.cell)
    check_invariants(few.service, canaries=[PASSWORD])


def test_refused_tenant_keeps_no_branch_of_others_back(few: World) -> None:
    publish_all(few, 1)
    customers = sorted(few.sign_up().customer_id for _ in range(6))
    touches = f"git log --format= --name-only $new ^main | grep -q '{customers[0][5:]}'"
    hook = few.remote / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\nwhile read old new ref; do if {touches}; then exit 1; fi; done\n")
    hook.chmod(0o755)
    published = few.publish()
    assert published.set_aside.keys() == {customers[0]}
    assert published.tenants.keys() == set(customers[1:])
    hook.unlink()
    assert misplaced(few) == {}
    few.publish()


def test_host_without_atomic_pushes_is_told_and_nothing_lands(few: World) -> None:
    few.sign_up()
    few.git("config", "receive.advertiseAtomic", "false")
    with pytest.raises(RepositoryError, match="takes atomic pushes"):
        few.publish()
    few.git("config", "receive.advertiseAtomic", "true")
    few.wait()
    assert len(few.publish().tenants) == 1
    check_invariants(few.service, canaries=[PASSWORD])


# After people


def merge(world: World, customer_id: str) -> str:
    """Somebody changes a tenant's folder; the new head of main."""
    with world.work_tree() as place:
        local = place / world.folder_of(customer_id) / "local"
        local.mkdir()
        (local / "note.yaml").write_text("# by hand\n")
    return world.git("rev-parse", "main")


def publish_in_two_shards(world: World) -> list[str]:
    """Two customers, whose tenants are in different shards."""
    found = {branch_of(world, each): each for each in publish_all(world, 3)}
    while len(found) < 2:
        found |= {branch_of(world, each): each for each in publish_all(world, 1)}
    return list(found.values())[:2]


def test_branches_follow_what_people_merged_and_only_those_it_touches(few: World) -> None:
    heard, (customer_id, other) = Heard(few), publish_in_two_shards(few)
    heard.pushes.clear()
    before, branch = branches(few), branch_of(few, customer_id)
    merge(few, customer_id)
    rename_company(few.service, other, "New", actor="t", now=few.clock())
    few.publish()
    head = few.git("rev-parse", "main")
    assert audit(few).findings == []  # it is about to be followed
    follow_main(few.service, few.cell)
    assert branches(few) == before | {branch: head, branch_of(few, other): head}
    prefix = few.folder_of(customer_id).rpartition("/")[0]
    assert heard.pushes == [(branch, before[branch], head, [prefix])]


def test_nothing_is_looked_at_twice_where_nothing_moved(
    few: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (customer_id,) = publish_all(few, 1)
    seen = follow_main(few.service, few.cell)
    assert seen is not None
    with monkeypatch.context() as patch:
        patch.setattr("tenantry.flows.publishing.shards.look", forbidden)
        assert follow_main(few.service, few.cell, seen) == seen
    merge(few, customer_id)
    assert follow_main(few.service, few.cell, seen) != seen


def forbidden(*_: object) -> None:
    raise AssertionError("it was looked at again")


def test_follower_lets_the_one_that_publishes_go_first(few: World) -> None:
    (customer_id,) = publish_all(few, 1)
    merge(few, customer_id)
    before, other = branches(few), few.cell.lease.of_another()
    assert other.take()
    assert follow_main(few.service, few.cell) is None
    assert branches(few) == before
    other.release()
    assert follow_main(few.service, few.cell)
    assert branches(few) != before


def test_nothing_follows_a_main_whose_history_is_in_question(few: World) -> None:
    customers = publish_all(few, 2)
    before, last = branches(few), few.git("rev-parse", "main")
    few.git("update-ref", "refs/heads/main", "main~1")
    merge(few, customers[0])
    assert follow_main(few.service, few.cell) is None
    assert branches(few) == before
    assert misplaced(few) == {}  # what is wrong is main itself
    main = few.git("rev-parse", "main")
    accept_history(few.service, few.cell, head=main, actor="operator", now=few.clock())
    lost = {branch for branch, commit in before.items() if commit == last}
    found = misplaced(few)
    assert {name for name, each in found.items() if each.kind == Kind.SHARD_ASTRAY} == lost

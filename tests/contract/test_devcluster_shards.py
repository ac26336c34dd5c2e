"""The stand-in with several ApplicationSets, each of which watches a branch of its own (R40)."""

from __future__ import annotations

import string
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tenantry.core import shards
from tenantry.devcluster import pages
from tenantry.devcluster.gitview import GitView
from tests.contract import devcluster_kit
from tests.contract.devcluster_kit import (
    PROJECT,
    SETS,
    Keys,
    World,
    eventually,
    folder,
    make_world,
    tenant_json,
)

keys = devcluster_kit.keys  # a fixture
HALVES = [shards.branch(shard) for shard in shards.all_shards(2)]


def sets_of(count: int) -> str:
    """As many ApplicationSets, each of its own folders and branch."""
    head, tail = SETS.split("files: [{path: tenants/*/*/tenant.json}]")
    documents = []
    for shard in shards.all_shards(count):
        paths = [f"{{path: {each}/*/tenant.json}}" for each in shards.folders(shard, count)]
        named = head.replace("name: tenants,", f"name: tenants-{shard},")
        watching = named.replace("refs/heads/main", f"refs/heads/{shards.branch(shard)}")
        documents.append(f"{watching}files: [{', '.join(paths)}]{tail}")
    return "---\n".join(documents)


def names(shard: str) -> Iterator[str]:
    """Tenants whose folders are in this one of two shards."""
    letters = product(string.ascii_lowercase, repeat=2)
    made = ("".join(pair) for pair in letters)
    return (name for name in made if shards.branch_of(folder(name), 2) == shard)


class Halves:
    """A world with two sets, and a tenant of each."""

    def __init__(self, place: Path, keys: Keys) -> None:
        self.world = make_world(place, keys)
        self.tenants = {branch: next(names(branch)) for branch in HALVES}
        files = {"argocd/appproject.yaml": PROJECT, "argocd/applicationsets.yaml": sets_of(2)}
        self.founded = self.world.repository.push(files)
        for branch in HALVES:
            self.world.repository.set_branch(branch, self.founded)

    def push(self, *tenants: str) -> str:
        """To main, and to no branch."""
        files = [self.world.files(tenant).items() for tenant in tenants]
        return self.world.repository.push(dict(pair for each in files for pair in each))

    def condition(self, branch: str) -> dict[str, str]:
        """ErrorOccurred of the branch's set; empty before its first look."""
        name = f"tenants-{branch.rpartition('/')[2]}"
        answer = self.world.get(f"/api/v1/applicationsets/{name}").json()
        conditions: list[dict[str, str]] = answer.get("status", {}).get("conditions", [])
        return next((each for each in conditions if each["type"] == "ErrorOccurred"), {})

    def await_error(self, branch: str) -> str:
        def is_so() -> str:
            found = self.condition(branch)
            return str(found["message"]) if found.get("status") == "True" else ""

        return eventually(is_so)


@pytest.fixture
def halves(tmp_path: Path, keys: Keys) -> Iterator[Halves]:
    made = Halves(tmp_path, keys)
    yield made
    made.world.stop()


def test_nudge_wakes_the_one_set_whose_branch_it_names(halves: Halves) -> None:
    world, (first, second) = halves.world, HALVES
    world.start()
    commit = halves.push(*halves.tenants.values())
    for branch in HALVES:
        world.repository.set_branch(branch, commit)
    world.nudge(ref=f"refs/heads/{second}")
    world.await_ready(halves.tenants[second], commit)
    assert not world.application(halves.tenants[first])
    world.nudge(ref=f"refs/heads/{first}")
    world.await_ready(halves.tenants[first], commit)


def test_tenants_on_main_wait_for_their_shards_branch(halves: Halves) -> None:
    world, branch = halves.world, HALVES[0]
    world.start()
    halves.push(halves.tenants[branch])
    world.nudge(ref="refs/heads/main")
    world.nudge(ref=f"refs/heads/{branch}")
    world.settle()
    assert not world.application(halves.tenants[branch])


def test_applications_follow_main_wherever_the_branch_is(halves: Halves) -> None:
    world, branch = halves.world, HALVES[0]
    tenant = halves.tenants[branch]
    world.start()
    world.repository.set_branch(branch, halves.push(tenant))
    world.nudge(ref=f"refs/heads/{branch}")
    world.await_ready(tenant)
    later = world.repository.push({"README.md": "later"})
    world.get(f"/api/v1/applications/customer-{tenant}?project=tenants&refresh=normal")
    world.await_ready(tenant, later)


def test_branch_that_is_not_there_stops_its_own_set_and_no_other(halves: Halves) -> None:
    world, (gone, there) = halves.world, HALVES
    commit = halves.push(*halves.tenants.values())
    world.repository.set_branch(gone, None)
    world.repository.set_branch(there, commit)
    world.start()
    world.await_ready(halves.tenants[there], commit)
    assert f"unable to resolve 'refs/heads/{gone}'" in halves.await_error(gone)
    assert halves.condition(there)["status"] == "False"
    page = world.get("/").text
    assert "2 ApplicationSets, 1 in error." in page
    assert f"tenants-{gone[-2:]}: error generating params from git: unable to resolve" in page


def test_record_below_a_tenants_folder_stops_its_set(halves: Halves) -> None:
    """In Argo CD's globs, a star stands for any number of folders."""
    world, branch = halves.world, HALVES[0]
    tenant = halves.tenants[branch]
    world.start()
    second = {f"{folder(tenant)}/local/deep/tenant.json": tenant_json(tenant)}
    world.repository.set_branch(branch, world.repository.push(world.files(tenant) | second))
    world.nudge(ref=f"refs/heads/{branch}")
    assert "duplicate name" in halves.await_error(branch)
    assert not world.application(tenant)


def test_removed_application_is_missed_by_its_own_set(halves: Halves) -> None:
    world, (first, second) = halves.world, HALVES
    world.start()
    commit = halves.push(halves.tenants[first])
    world.repository.set_branch(first, commit)
    world.nudge(ref=f"refs/heads/{first}")
    uid = world.await_ready(halves.tenants[first])["metadata"]["uid"]
    world.repository.set_branch(second, halves.push(halves.tenants[second]))
    path = f"/api/v1/applications/customer-{halves.tenants[first]}?project=tenants"
    world.request("DELETE", path, headers={"Content-Type": "application/json"})
    world.await_application(halves.tenants[first], lambda one: one["metadata"]["uid"] != uid)
    assert not world.application(halves.tenants[second])


def test_a_look_at_many_sets_asks_git_a_few_times(
    tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path, keys)
    files = {"argocd/appproject.yaml": PROJECT, "argocd/applicationsets.yaml": sets_of(64)}
    commit = world.repository.push(files)
    for shard in shards.all_shards(64):
        world.repository.set_branch(shards.branch(shard), commit)
    asked: list[str] = []
    git = GitView._git

    def count(self: GitView, *arguments: str, **options: Any) -> bytes:
        asked.append(arguments[0])
        return git(self, *arguments, **options)

    try:
        stand_in = world.start()
        eventually(lambda: stand_in.sets.passes)
        page = world.get("/").text
        assert "64 ApplicationSets, 0 in error." in page
        monkeypatch.setattr(GitView, "_git", count)
        for shard in shards.all_shards(64):
            world.nudge(ref=f"refs/heads/{shards.branch(shard)}")
        world.settle()
        assert set(asked) == {"for-each-ref", "ls-tree"}  # the refs, and argocd/
        eventually(lambda: asked.count("for-each-ref") == asked.count("ls-tree"))  # of each pass
        assert asked.count("ls-tree") <= 66
    finally:
        world.stop()


def test_page_names_some_of_many_sets_in_error_and_counts_the_rest(
    tmp_path: Path, keys: Keys
) -> None:
    world = make_world(tmp_path, keys)
    files = {"argocd/appproject.yaml": PROJECT, "argocd/applicationsets.yaml": sets_of(64)}
    world.repository.push(files)
    try:
        world.start()
        page = eventually(lambda: devcluster_page(world, "64 in error"))
        assert page.count("unable to resolve") == pages.SETS_NAMED
        assert f"And {64 - pages.SETS_NAMED} more." in page
    finally:
        world.stop()


def devcluster_page(world: World, wanted: str) -> str:
    page = world.get("/").text
    return page if wanted in page else ""

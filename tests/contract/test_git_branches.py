"""Branches that go along with main, against real Git: all or none, and whose fault it is (R40)."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tenantry.adapters.git import Change, TenantsRepository, create_bare
from tenantry.core.errors import PushRefused, PushRejected, RepositoryError

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ONE, TWO = "shard/00", "shard/01"


class Host:
    """A remote whose main has one commit and whose two branches stand there, and its clones."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.remote = folder, folder / "remote.git"
        create_bare(self.remote)
        self.ours = self.clone("ours")
        self.first = self.commit()
        self.before = self.ours.push({ONE: self.first, TWO: self.first})

    def clone(self, name: str) -> TenantsRepository:
        return TenantsRepository(str(self.remote), self.folder / f"{name}.git")

    def commit(self, content: bytes = b"", *, by: TenantsRepository | None = None) -> str:
        """Built on main, and not pushed yet."""
        repository = by or self.ours
        change = Change("tenants/00/x", {"file": content}, "A commit")
        (built,) = repository.build(repository.fetch(), [change], NOW)
        return built.sha

    def git(self, *arguments: str) -> str:
        argv = ["git", f"--git-dir={self.remote}", *arguments]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    def at(self, branch: str) -> str:
        return self.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")

    def hook(self, name: str, script: str) -> None:
        path = self.remote / "hooks" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def set_elsewhere(self, branch: str) -> str:
        """Somebody sets the branch to a commit that main does not have."""
        theirs = self.clone("theirs")
        commit = self.commit(b"elsewhere", by=theirs)
        argv = ["push", "-q", "--force", "origin", f"{commit}:refs/heads/{branch}"]
        place = f"--git-dir={self.folder / 'theirs.git'}"
        subprocess.run(["git", place, *argv], check=True, capture_output=True)
        return commit


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_branches_are_made_with_main_and_known_at_once(host: Host) -> None:
    assert host.before == {"main": None, ONE: None, TWO: None}
    assert host.ours.branches("shard/") == {ONE: host.first, TWO: host.first}
    assert host.ours.head() == host.first


def test_push_says_where_each_branch_was(host: Host) -> None:
    second = host.commit(b"second")
    assert host.ours.push({TWO: second}) == {"main": host.first, TWO: host.first}
    third = host.commit(b"third")
    assert host.ours.push({ONE: third, TWO: second}) == {
        "main": second, ONE: host.first, TWO: second,
    }  # fmt: skip
    assert (host.at("main"), host.at(ONE), host.at(TWO)) == (third, third, second)
    assert host.ours.branches("shard/") == {ONE: third, TWO: second}


def test_branches_are_known_as_last_fetched(host: Host) -> None:
    elsewhere = host.set_elsewhere(ONE)
    host.git("update-ref", "-d", f"refs/heads/{TWO}")
    assert host.ours.branches("shard/") == {ONE: host.first, TWO: host.first}
    host.ours.fetch()
    assert host.ours.branches("shard/") == {ONE: elsewhere}


@pytest.mark.parametrize("is_known", [False, True], ids=["since the fetch", "and fetched"])
def test_branch_that_was_set_elsewhere_keeps_all_back_and_is_named(
    host: Host, is_known: bool
) -> None:
    elsewhere = host.set_elsewhere(ONE)
    if is_known:
        host.ours.fetch()
    second = host.commit(b"second")
    with pytest.raises(PushRejected, match=f"for the sake of {ONE}") as caught:
        host.ours.push({ONE: second, TWO: second})
    assert caught.value.branches == {ONE}
    assert (host.at("main"), host.at(ONE), host.at(TWO)) == (host.first, elsewhere, host.first)
    host.ours.push({TWO: second})
    assert (host.at("main"), host.at(ONE), host.at(TWO)) == (second, elsewhere, second)


def test_branch_that_is_protected_keeps_all_back_and_is_named(host: Host) -> None:
    host.hook("update", f"[ $1 != refs/heads/{TWO} ] || {{ echo GH006 protected >&2; exit 1; }}")
    second = host.commit(b"second")
    with pytest.raises(PushRejected, match="GH006 protected") as caught:
        host.ours.push({ONE: second, TWO: second})
    assert caught.value.branches == {TWO}
    assert host.at("main") == host.at(ONE) == host.first


def test_main_that_moved_is_no_branchs_fault(host: Host) -> None:
    second = host.commit(b"second")
    theirs = host.clone("theirs")
    host.commit(b"theirs", by=theirs)
    theirs.push()
    with pytest.raises(PushRejected, match="fetch first") as caught:
        host.ours.push({ONE: second})
    assert caught.value.branches == frozenset()
    assert host.at(ONE) == host.first


def test_refusal_of_main_alone_is_no_branchs_fault(host: Host) -> None:
    host.hook("update", "[ $1 != refs/heads/main ]")
    second = host.commit(b"second")
    with pytest.raises(PushRefused) as caught:
        host.ours.push({ONE: second})
    assert caught.value.branches == frozenset()
    assert host.at(ONE) == host.first


def test_refusal_of_all_may_be_because_of_any(host: Host) -> None:
    host.hook("pre-receive", "echo not today >&2; exit 1")
    second = host.commit(b"second")
    with pytest.raises(PushRefused, match="not today") as caught:
        host.ours.push({ONE: second, TWO: second})
    assert caught.value.branches == {ONE, TWO}


def lock(host: Host) -> None:
    (host.remote / f"refs/heads/{ONE}.lock").touch()


def take_the_name_of_the_folder(host: Host) -> None:
    for branch in (ONE, TWO):
        host.git("update-ref", "-d", f"refs/heads/{branch}")
    host.git("update-ref", "refs/heads/shard", host.first)


@pytest.mark.parametrize("block", [lock, take_the_name_of_the_folder])
def test_refs_that_cannot_be_written_together_may_be_because_of_any(
    host: Host, block: Callable[[Host], None]
) -> None:
    block(host)
    second = host.commit(b"second")
    with pytest.raises(PushRejected, match="atomic") as caught:
        host.ours.push({ONE: second})
    assert caught.value.branches == {ONE}
    assert host.ours.push() == {"main": host.first}


def test_server_that_cannot_push_all_or_none_is_told_so(host: Host) -> None:
    host.git("config", "receive.advertiseAtomic", "false")
    second = host.commit(b"second")
    with pytest.raises(RepositoryError, match="takes atomic pushes") as caught:
        host.ours.push({ONE: second})
    assert type(caught.value) is RepositoryError
    assert host.at("main") == host.first


def test_branches_are_moved_each_for_itself(host: Host) -> None:
    elsewhere = host.set_elsewhere(ONE)
    second = host.commit(b"second")
    host.ours.push()
    host.hook("update", '[ $1 != refs/heads/shard/03 ] || { echo "you may not" >&2; exit 1; }')
    moved = host.ours.move({ONE: second, TWO: second, "shard/02": second, "shard/03": second})
    assert moved.before == {TWO: host.first, "shard/02": None}
    assert (host.at(ONE), host.at(TWO), host.at("shard/03")) == (elsewhere, second, "")
    assert isinstance(moved.errors[ONE], PushRejected)
    assert isinstance(moved.errors["shard/03"], PushRefused)
    assert "you may not" in str(moved.errors["shard/03"])
    assert "push to all branches shard/*" in str(moved.errors["shard/03"])


def test_moving_branches_of_a_host_that_is_away_is_an_error(host: Host) -> None:
    host.remote.rename(host.folder / "away.git")
    with pytest.raises(RepositoryError, match="does not appear to be a git repository"):
        host.ours.move({ONE: host.first})

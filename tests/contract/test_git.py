"""The tenants repository against real Git: building, pushing, and every way of not landing."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tenantry.adapters.git import Change, TenantsRepository, create_bare, remote_head
from tenantry.core.errors import PushRejected, RepositoryError
from tenantry.core.gittree import tree_id

NOW = datetime(2026, 11, 23, tzinfo=UTC)
FILES = {"kustomization.yaml": b"resources: []\n", "tenant.json": "{}é\n".encode()}
FOLDER = "tenants/aa/customer-bbbbbbbbbb"


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    create_bare(tmp_path / "remote.git")
    return tmp_path / "remote.git"


@pytest.fixture
def clone(remote: Path, tmp_path: Path) -> Callable[[str], TenantsRepository]:
    return lambda name: TenantsRepository(str(remote), tmp_path / f"{name}.git")


Clone = Callable[[str], TenantsRepository]


def git(remote: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", f"--git-dir={remote}", *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def land(repository: TenantsRepository, *changes: Change) -> list[str]:
    commits = repository.build(repository.fetch(), changes, NOW)
    repository.push()
    return [commit.sha for commit in commits]


def tree_at(repository: TenantsRepository, commit: str, path: str) -> str | None:
    return repository.object_ids([(commit, path)])[commit, path]


def test_empty_remote_gets_its_first_commits(clone: Clone, remote: Path) -> None:
    repository = clone("ours")
    assert repository.fetch() is None
    shas = land(repository, Change("platform/v1", {"base/x.yaml": b"a\n"}, "Platform"),
                Change(FOLDER, FILES, "Tenant"))  # fmt: skip
    assert git(remote, "rev-list", "--reverse", "main").split() == shas
    assert repository.head() == shas[-1]
    assert git(remote, "fsck", "--strict") == ""


def test_tree_is_known_before_anything_is_written(clone: Clone) -> None:
    repository = clone("ours")
    (commit,) = repository.build(repository.fetch(), [Change(FOLDER, FILES, "Tenant")], NOW)
    assert commit.tree == tree_id(FILES)


def test_commit_touches_its_own_folder_only_and_drops_old_files(clone: Clone, remote: Path) -> None:
    repository = clone("ours")
    land(repository, Change(FOLDER, FILES | {"old.yaml": b""}, "a"), Change("x", FILES, "b"))
    land(repository, Change(FOLDER, FILES, "c"))
    assert git(remote, "diff", "--name-only", "main~1", "main") == f"{FOLDER}/old.yaml"


def test_kept_folder_survives_and_counts_in_the_tree(clone: Clone) -> None:
    repository = clone("ours")
    land(
        repository, Change(FOLDER, FILES, "ours"), Change(f"{FOLDER}/local", {"k": b"1"}, "theirs")
    )
    head = str(repository.fetch())
    local = tree_at(repository, head, f"{FOLDER}/local")
    assert local
    change = Change(FOLDER, FILES | {"new.yaml": b""}, "ours", {"local": local})
    (commit,) = repository.build(head, [change], NOW)
    repository.push()
    assert commit.tree == tree_id(change.files, folders={"local": local})
    assert repository.files(commit.tree)["local/k"] == b"1"


def test_push_on_a_main_that_moved_is_rejected_and_can_be_rebuilt(
    clone: Clone, remote: Path
) -> None:
    ours, theirs = clone("ours"), clone("theirs")
    land(ours, Change("a", FILES, "first"))
    head = ours.fetch()
    land(theirs, Change("b", FILES, "theirs"))
    ours.build(head, [Change("c", FILES, "ours")], NOW)
    with pytest.raises(PushRejected):
        ours.push()
    land(ours, Change("c", FILES, "ours"))
    assert git(remote, "ls-tree", "--name-only", "main").split() == ["a", "b", "c"]


def test_push_that_the_server_refuses_is_an_error_in_one_line(clone: Clone, remote: Path) -> None:
    ours = clone("ours")
    land(ours, Change("a", FILES, "first"))
    hook = remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(RepositoryError, match="declined") as caught:
        land(ours, Change("b", FILES, "second"))
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, PushRejected)


def test_unreachable_remote_is_an_error_with_its_words(tmp_path: Path) -> None:
    repository = TenantsRepository(str(tmp_path / "nowhere.git"), tmp_path / "clone.git")
    with pytest.raises(RepositoryError, match="does not appear to be a git repository"):
        repository.fetch()


def test_damaged_clone_is_made_anew(clone: Clone, tmp_path: Path) -> None:
    land(clone("ours"), Change("a", FILES, "first"))
    (tmp_path / "ours.git" / "HEAD").unlink()
    assert clone("ours").fetch() is not None


def test_clone_with_damaged_objects_is_made_anew(clone: Clone, tmp_path: Path) -> None:
    repository = clone("ours")
    (first,) = land(repository, Change("a", FILES, "first"))
    for damaged in (tmp_path / "ours.git" / "objects").glob("??/*"):
        damaged.chmod(0o644)
        damaged.write_bytes(b"damaged")
    with pytest.raises(RepositoryError):
        repository.build(repository.head(), [Change("b", FILES, "second")], NOW)
    assert repository.fetch() == first
    land(repository, Change("b", FILES, "second"))


def test_lock_that_a_killed_git_left_stops_nobody(clone: Clone, tmp_path: Path) -> None:
    land(clone("ours"), Change("a", FILES, "first"))
    lock = tmp_path / "ours.git" / "refs" / "remotes" / "origin" / "main.lock"
    lock.touch()
    assert land(clone("ours"), Change("b", FILES, "second"))
    assert not lock.exists()


def test_hooks_and_configuration_of_the_machine_are_ignored(
    clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\nname = Somebody\n[push]\ndefault = nonsense\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    assert land(clone("ours"), Change("a", FILES, "first"))


def test_environment_of_the_service_reaches_no_child_of_git(
    clone: Clone, remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANTRY_DATABASE_URL", "postgresql://u:canary@h/d")
    hook = remote / "hooks" / "post-receive"
    hook.write_text(f"#!/bin/sh\nenv > {tmp_path}/seen\n")
    hook.chmod(0o755)
    land(clone("ours"), Change("a", FILES, "first"))
    assert "PATH=" in (tmp_path / "seen").read_text()
    assert "canary" not in (tmp_path / "seen").read_text()


def test_trees_differ_in_nothing_but_local(clone: Clone) -> None:
    repository = clone("ours")
    land(repository, Change("t", FILES, "a"))
    first = tree_at(repository, str(repository.head()), "t")
    land(repository, Change("t/local", {"k": b"1"}, "b"))
    second = tree_at(repository, str(repository.head()), "t")
    land(repository, Change("t/other", {"k": b"1"}, "c"))
    third = tree_at(repository, str(repository.head()), "t")
    assert repository.same_but(str(first), str(second), "local")
    assert not repository.same_but(str(first), str(third), "local")


def test_each_process_has_a_clone_of_its_own(remote: Path, tmp_path: Path) -> None:
    """The lock is per open file, so two objects stand for two processes here."""
    first = TenantsRepository(str(remote), tmp_path / "clone.git")
    second = TenantsRepository(str(remote), tmp_path / "clone.git")
    land(first, Change("a", FILES, "a"))
    assert second.fetch() == first.head()
    assert (tmp_path / "clone-2.git" / "HEAD").exists()


def test_remote_is_asked_for_its_head_without_a_clone(clone: Clone, remote: Path) -> None:
    assert remote_head(str(remote), "main") is None
    (sha,) = land(clone("ours"), Change("a", FILES, "a"))
    assert remote_head(str(remote), "main") == sha
    with pytest.raises(RepositoryError, match="cannot be read"):
        remote_head(str(remote / "nowhere"), "main")


def test_last_commit_of_a_folder(clone: Clone) -> None:
    repository = clone("ours")
    shas = land(repository, Change("a", FILES, "a"), Change("b", FILES, "b"))
    assert repository.last_commit("a") == shas[0]
    assert repository.known_commits([shas[0], "0" * 40]) == {shas[0]}

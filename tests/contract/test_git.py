"""The tenants repository against real Git: building, pushing, and every way of not landing."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tenantry.adapters.git import (
    NOT_A_TREE,
    Change,
    TenantsRepository,
    create_bare,
    objects,
    program,
    remote_head,
)
from tenantry.adapters.git import repository as repositories
from tenantry.adapters.git.clone import PATIENCE
from tenantry.adapters.git.clone import Clone as Checked
from tenantry.adapters.git.remote import _require_landed
from tenantry.adapters.git.report import read_report
from tenantry.adapters.process import Completed
from tenantry.core.errors import ProductError, PushRefused, PushRejected, RepositoryError
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
    return repository.trees([(commit, path)])[commit, path]


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
    with pytest.raises(PushRefused, match=r"declined.*it said: not today") as caught:
        land(ours, Change("b", FILES, "second"))
    assert "\n" not in str(caught.value)


def test_push_sends_what_this_process_built(clone: Clone, remote: Path, tmp_path: Path) -> None:
    """Not what a child of one that was killed wrote into the same clone a moment later."""
    ours = clone("ours")
    first, second = land(ours, Change("a", FILES, "first"), Change("b", FILES, "second"))
    (built,) = ours.build(second, [Change("c", FILES, "third")], NOW)
    git(tmp_path / "ours.git", "update-ref", "refs/tenantry/build", first)
    ours.push()
    assert git(remote, "rev-parse", "main") == built.sha == ours.head()


def test_push_without_anything_built_is_an_error(clone: Clone) -> None:
    with pytest.raises(RepositoryError, match="nothing was built"):
        clone("ours").push()


def test_push_of_what_main_moved_beyond_is_rejected(clone: Clone) -> None:
    ours = clone("ours")
    (first, _) = land(ours, Change("a", FILES, "first"), Change("b", FILES, "second"))
    ours.build(first, [Change("c", FILES, "on the first")], NOW)
    with pytest.raises(PushRejected, match="non-fast-forward"):
        ours.push()


@pytest.mark.parametrize(
    "hook",
    [
        pytest.param("git update-ref refs/heads/main $other", id="moves while it is pushed"),
        pytest.param("touch refs/heads/main.lock", id="is locked"),
    ],
)
def test_main_that_moves_while_it_is_pushed_is_a_rejection(
    clone: Clone, remote: Path, hook: str
) -> None:
    ours = clone("ours")
    first, other = land(ours, Change("a", FILES, "first"), Change("b", FILES, "other"))
    git(remote, "update-ref", "refs/heads/main", first)
    ours.fetch()
    ours.build(first, [Change("c", FILES, "second")], NOW)
    update = remote / "hooks" / "update"
    update.write_text(f"#!/bin/sh\nother={other}\n{hook}\n")
    update.chmod(0o755)
    with pytest.raises(PushRejected):
        ours.push()
    assert len(git(remote, "rev-list", "main").split()) == (1 if "lock" in hook else 2)


REPORT = "To t.git\n{}\trefs/tenantry/build:refs/heads/main\t{}\n"


@pytest.mark.parametrize(
    "said",
    [
        "[rejected] (fetch first)",
        "[rejected] (non-fast-forward)",
        "[rejected] (stale info)",
        "[rejected] (remote ref updated since checkout)",
        "[rejected] (some day's word for it)",
        "[remote rejected] (non-fast-forward)",
        "[remote rejected] (incorrect old value provided)",
        "[remote rejected] (failed to update ref)",
        "[remote rejected] (reference already exists)",
        "[remote rejected] (cannot lock ref 'refs/heads/main': is at a but expected b)",
        "[remote rejected] (cannot lock ref 'refs/heads/main': File exists.)",
    ],
)
def test_every_wording_of_a_lost_race_is_a_rejection(said: str) -> None:
    with pytest.raises(PushRejected):
        judge(REPORT.format("!", said))


@pytest.mark.parametrize(
    "said",
    [
        "[remote rejected] (pre-receive hook declined)",
        "[remote rejected] (hook declined)",
        "[remote rejected] (protected branch hook declined)",
        "[remote rejected] (push declined due to repository rule violations)",
        "[remote rejected] (branch is currently checked out)",
    ],
)
def test_a_servers_no_is_a_refusal(said: str) -> None:
    with pytest.raises(PushRefused, match=r"GH006: Protected branch"):
        judge(REPORT.format("!", said), "remote: error: GH006: Protected branch\nerror: failed\n")


@pytest.mark.parametrize(
    ("report", "stderr"),
    [
        ("", "fatal: the remote end hung up unexpectedly"),
        ("", "error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502"),
        ("", ""),
        (REPORT.format("!", "[remote failure] (remote failed to report status)"), ""),
        (REPORT.format("!", "[remote rejected] (unpacker error)"), "error: remote unpack failed"),
        (REPORT.format("!", "[remote rejected] (Internal Server Error)"), ""),
        (REPORT.format("?", "[something new]"), ""),
    ],
)
def test_what_is_neither_leaves_the_outcome_unknown(report: str, stderr: str) -> None:
    with pytest.raises(RepositoryError) as caught:
        judge(report, stderr)
    assert type(caught.value) is RepositoryError


@pytest.mark.parametrize(
    "stderr",
    [
        "fatal: unable to access 'https://h/t/': The requested URL returned error: 403",
        "ERROR: Permission to acme/t.git denied to deploy key\nfatal: Could not read from remote",
        "ERROR: The key you are authenticating with has been marked as read only.",
        "remote: You are not allowed to push code to this project.\nfatal: unable to access",
    ],
)
def test_missing_permission_is_no_tenants_fault(stderr: str) -> None:
    with pytest.raises(RepositoryError, match="the right to push") as caught:
        judge("", stderr)
    assert type(caught.value) is RepositoryError


def test_message_is_bounded_and_names_no_user_of_a_url() -> None:
    with pytest.raises(RepositoryError) as caught:
        judge("", "fatal: 'https://canary:canary@h/t' " + "x" * 5000)
    assert "canary" not in str(caught.value)
    assert len(str(caught.value)) < 1200


def test_report_is_read_whole_whatever_a_server_writes_into_it() -> None:
    with pytest.raises(PushRefused, match=r"\*\*\*: \ufffd"):
        judge("To https://h/" + "x" * 5000 + REPORT.format("!", "[remote rejected] (canary: \xff)"))


@pytest.mark.parametrize("flag", [" ", "*", "="])
def test_these_landed(flag: str) -> None:
    judge(REPORT.format(flag, "a..b"))


def judge(report: str, stderr: str = "") -> None:
    pushed = Completed("git", 1, report.encode("latin-1"), stderr)
    _require_landed(read_report(pushed, {"main": "c1"}, ["canary"]), "main", pushed)


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


def loose(bare: Path, name: str) -> Path:
    sha = git(bare, "rev-parse", name)
    return first_file(bare, f"objects/{sha[:2]}/{sha[2:]}")


def first_file(folder: Path, pattern: str) -> Path:
    path = min(folder.glob(pattern))
    path.chmod(0o644)
    return path


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_pack(bare: Path) -> None:
    git(bare, "repack", "-adq")
    truncate(first_file(bare, "objects/pack/*.pack"))


def lose_objects(bare: Path) -> None:
    git(bare, "repack", "-adq")
    for path in (bare / "objects/pack").iterdir():
        path.unlink()


def damage_blob(bare: Path) -> None:
    truncate(loose(bare, f"refs/remotes/origin/main:{FOLDER}/tenant.json"))


def empty_ref(bare: Path) -> None:
    (bare / "refs/remotes/origin/main").write_text("")


def become_a_file(bare: Path) -> None:
    shutil.rmtree(bare)
    bare.write_text("what is this")


DAMAGES = {
    "pack": damage_pack,
    "objects": lose_objects,
    "blob": damage_blob,
    "tree": lambda bare: truncate(loose(bare, f"refs/remotes/origin/main:{FOLDER}")),
    "lost tree": lambda bare: loose(bare, "refs/remotes/origin/main:tenants").unlink(),
    "ref": empty_ref,
    "file": become_a_file,
    "nothing": shutil.rmtree,
    "head": lambda bare: (bare / "HEAD").unlink(),
    "configuration": lambda bare: truncate(bare / "config"),
}


@pytest.mark.parametrize("is_new", [False, True], ids=["same process", "next process"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_any_damage_costs_a_few_tries_at_most(
    clone: Clone, remote: Path, tmp_path: Path, damage: Callable[[Path], object], is_new: bool
) -> None:
    repository = clone("ours")
    land(repository, Change(FOLDER, FILES, "first"))
    repository.fetch()
    if is_new:
        del repository
    damage(tmp_path / "ours.git")
    repository = clone("ours") if is_new else repository
    for _ in range(3):
        with contextlib.suppress(RepositoryError):
            head = str(repository.fetch())
            assert repository.files(str(tree_at(repository, head, FOLDER))) == FILES
            land(repository, Change("b", FILES, "second"))
            break
    assert git(remote, "ls-tree", "--name-only", "main").split() == ["b", "tenants"]
    assert git(remote, "fsck", "--strict") == ""


BREAKS = [
    lambda path: path.write_bytes(b"damaged"),
    Path.unlink,
    lambda path: path.write_bytes(b""),
]


@pytest.mark.parametrize("harm", BREAKS, ids=["damaged", "lost", "empty"])
@pytest.mark.parametrize("folder", [FOLDER, "tenants"])
def test_folder_that_cannot_be_read_is_not_taken_for_a_missing_one(
    clone: Clone, tmp_path: Path, folder: str, harm: Callable[[Path], object]
) -> None:
    repository = clone("ours")
    (head,) = land(repository, Change(FOLDER, FILES, "first"))
    tree = tree_at(repository, head, FOLDER)
    harm(loose(tmp_path / "ours.git", f"{head}:{folder}"))
    with pytest.raises(RepositoryError):
        tree_at(repository, head, FOLDER)
    assert repository.fetch() == head
    assert tree_at(repository, head, FOLDER) == tree


def test_history_is_read_right_where_clocks_disagreed(clone: Clone) -> None:
    """Git finds out by dates what need not be looked at: a commit from a clock that was fast."""
    repository = clone("ours")
    (fast,) = repository.build(None, [Change("a", FILES, "fast")], NOW + timedelta(days=1))
    (elsewhere,) = repository.build(fast.sha, [Change("b", FILES, "elsewhere")], NOW)
    later = [Change("c", {"x": bytes([number])}, "later") for number in range(20)]
    head = repository.build(fast.sha, later, NOW)[-1].sha
    assert repository.commits_outside(head, {fast.sha, head}) == set()
    assert repository.commits_outside(head, {fast.sha, elsewhere.sha}) == {elsewhere.sha}


@pytest.mark.parametrize("harm", BREAKS, ids=["damaged", "lost", "empty"])
def test_history_that_cannot_be_read_is_not_taken_for_a_rewritten_one(
    clone: Clone, tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    repository = clone("ours")
    changes = [Change(name, FILES, name) for name in ("a", "b", "c")]
    first, middle, last = land(repository, *changes)
    harm(loose(tmp_path / "ours.git", middle))
    with pytest.raises(RepositoryError):
        repository.descends(last, first)
    assert repository.fetch() == last
    assert repository.descends(last, first)


def test_branch_that_cannot_be_read_is_not_taken_for_an_empty_repository(
    clone: Clone, tmp_path: Path
) -> None:
    repository = clone("ours")
    (head,) = land(repository, Change("a", FILES, "first"))
    empty_ref(tmp_path / "ours.git")
    with pytest.raises(RepositoryError):
        repository.head()
    assert repository.fetch() == head


def test_first_fetch_may_take_longer(
    clone: Clone, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped halfway, it would begin from nothing each time, and never end."""
    within: list[float] = []

    def run(*arguments: str, deadline: float, **given: Any) -> Completed:
        if "fetch" in arguments:
            within.append(deadline)
        return program_run(*arguments, deadline=deadline, **given)

    program_run = program.run
    monkeypatch.setattr(program, "run", run)
    repository = clone("ours")
    repository.fetch()  # of an empty remote
    land(clone("theirs"), Change("a", FILES, "first"))
    within.clear()
    repository.fetch()
    repository.fetch()
    assert within == [PATIENCE, 60]


def test_what_piles_up_is_packed_before_a_fetch_ends(clone: Clone, tmp_path: Path) -> None:
    repository = clone("ours")
    repository.fetch()
    git(tmp_path / "ours.git", "config", "fastimport.unpackLimit", "10000")
    land(repository, Change("a", {f"{number}": b"%d" % number for number in range(600)}, "many"))
    assert loose_objects(tmp_path / "ours.git") > 600
    repository.fetch()
    assert loose_objects(tmp_path / "ours.git") > 600
    git(tmp_path / "ours.git", "config", "gc.auto", "256")
    repository.fetch()
    assert loose_objects(tmp_path / "ours.git") == 0
    assert git(tmp_path / "ours.git", "fsck") == ""


def loose_objects(bare: Path) -> int:
    return int(git(bare, "count-objects").split()[0])


def test_clone_of_another_remote_is_made_anew(clone: Clone, tmp_path: Path) -> None:
    land(clone("ours"), Change("a", FILES, "first"))
    create_bare(tmp_path / "other.git")
    moved = TenantsRepository(str(tmp_path / "other.git"), tmp_path / "ours.git")
    assert moved.head() is None
    land(moved, Change("b", FILES, "elsewhere"))
    assert git(tmp_path / "other.git", "ls-tree", "--name-only", "main") == "b"


def test_folder_that_cannot_be_written_is_a_clear_error(remote: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    repository = TenantsRepository(str(remote), tmp_path / "data" / "clones" / "main.git")
    with pytest.raises(RepositoryError, match=r"no clone at .*main.git: .*TENANTRY_DATA_DIR"):
        repository.fetch()


def test_clone_is_not_searched_at_each_failure_of_the_remote(
    clone: Clone, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = clone("ours")
    land(repository, Change("a", FILES, "first"))
    remote.rename(remote.with_name("away.git"))
    searched: list[Path] = []

    def is_whole(_: Checked, path: Path) -> bool:
        searched.append(path)
        return True

    monkeypatch.setattr(Checked, "_is_whole", is_whole)
    for _ in range(6):
        with pytest.raises(RepositoryError):
            repository.fetch()
    assert len(searched) == 1


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


def test_history_tells_what_was_rewritten(clone: Clone, remote: Path) -> None:
    repository = clone("ours")
    first, second = land(repository, Change("a", FILES, "a"), Change("b", FILES, "b"))
    assert repository.descends(second, first)
    assert repository.descends(second, second)
    assert not repository.descends(first, second)
    assert not repository.descends(second, "1" * 40)
    assert not repository.descends("1" * 40, "1" * 40)
    git(remote, "update-ref", "refs/heads/main", first)
    assert repository.fetch() == first
    assert not repository.descends(first, second)


def test_file_is_no_tree(clone: Clone) -> None:
    repository = clone("ours")
    (head,) = land(repository, Change(FOLDER, FILES, "a"))
    places = [(head, FOLDER), (head, f"{FOLDER}/tenant.json"), (head, "b"), ("1" * 40, "")]
    tree = tree_at(repository, head, FOLDER)
    assert list(repository.trees(places).values()) == [tree, NOT_A_TREE, None, None]
    assert repository.trees_at(head, [FOLDER, "b"]) == {FOLDER: tree, "b": None}
    assert repository.trees_at(None, [FOLDER]) == {FOLDER: None}
    assert repository.trees([(str(tree), "")]) == {(tree, ""): tree}


def test_submodule_is_no_tree_and_nothing_is_below_it(clone: Clone, remote: Path) -> None:
    commit = b"commit refs/heads/main\ncommitter a <a@a> 1 +0000\ndata 1\nx\n"
    subprocess.run(
        ["git", f"--git-dir={remote}", "fast-import", "--quiet"],
        input=commit + b"M 160000 " + b"1" * 40 + b" t/sub\nM 100644 inline t/file\ndata 1\nx\n",
        check=True,
    )
    repository = clone("ours")
    head = str(repository.fetch())
    places = [(head, path) for path in ("t/sub", "t/sub/x", "t/file/x", "t/none/x", "u/x")]
    assert list(repository.trees(places).values()) == [NOT_A_TREE, None, None, None, None]


def test_folder_too_large_for_a_product_is_not_read(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = clone("ours")
    (head,) = land(repository, Change("t", {"small": b"x", "film": b"x" * 5000}, "a"))
    monkeypatch.setattr(objects, "FILES_AT_MOST", 5000)
    with pytest.raises(ProductError, match="film: its folder holds more"):
        repository.files(str(tree_at(repository, head, "t")))


def test_files_of_few_trees_are_kept(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = objects.read_files

    def read_files(clone: Checked, tree: str) -> Mapping[str, bytes]:
        read.append(tree)
        return original(clone, tree)

    monkeypatch.setattr(objects, "read_files", read_files)
    monkeypatch.setattr(repositories, "TREES_KEPT", 2)
    repository = clone("ours")
    names = ("a", "b", "c")
    land(repository, *(Change(name, {"name": name.encode()}, name) for name in names))
    a, b, c = (str(tree_at(repository, str(repository.head()), name)) for name in names)
    for tree in (a, a, b, a, c, a, b):
        repository.files(tree)
    assert read == [a, b, c, b]


def test_entries_and_blobs_are_all_files_of_a_commit(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = clone("ours")
    many = {f"{number:03}": str(number).encode() for number in range(600)}
    land(repository, Change(FOLDER, FILES, "a"), Change("many", many, "b"))
    head = str(repository.head())
    found = list(repository.entries(head))
    expected = {f"{FOLDER}/{name}" for name in FILES} | {f"many/{name}" for name in many}
    assert {entry.path for entry in found} == expected
    below = list(repository.entries(head, "many"))
    assert {(entry.mode, entry.kind) for entry in below} == {("100644", "blob")}
    sizes = repository.sizes(entry.id for entry in below)
    assert [sizes[entry.id] for entry in below] == [1] * 10 + [2] * 90 + [3] * 500
    monkeypatch.setattr(objects, "BYTES_AT_ONCE", 100)
    contents = repository.blobs(entry.id for entry in below)
    pairs = zip(below, contents, strict=True)
    assert {entry.path.removeprefix("many/"): content for entry, (_, content) in pairs} == many
    assert list(repository.entries(head, "nowhere")) == []
    with pytest.raises(RepositoryError, match="git has no object"):
        list(repository.blobs([below[0].id, "1" * 40]))


def test_paths_that_are_no_utf8_are_still_listed(clone: Clone, remote: Path) -> None:
    repository = clone("ours")
    head = b"commit refs/heads/main\ncommitter a <a@a> 1 +0000\ndata 1\nx\n"
    subprocess.run(
        ["git", f"--git-dir={remote}", "fast-import", "--quiet"],
        input=head + b"M 100644 inline \xff\ndata 1\nx\n",
        check=True,
    )
    (entry,) = repository.entries(str(repository.fetch()))
    assert entry.path.encode(errors="surrogateescape") == b"\xff"

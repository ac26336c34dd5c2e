"""Tree ids that are computed without a repository are those that Git gives."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenantry.core.gittree import folder_id, tree_id

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs"]),
    min_size=1,
    max_size=6,
).filter(lambda name: name not in {".", ".."} and name.lower() != ".git")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("git") / "some.git"
    git(folder.parent, "init", "-q", "--bare", str(folder))
    return folder


def git(repository: Path, *arguments: str, stdin: bytes = b"") -> str:
    """Git without the configuration of whoever runs the tests."""
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    return subprocess.run(
        ["git", *arguments],
        input=stdin,
        cwd=repository,
        env=environment,
        check=True,
        capture_output=True,
    ).stdout.decode().strip()  # fmt: skip


def real_tree_id(
    repository: Path, files: dict[str, bytes], folders: dict[str, str] | None = None
) -> str:
    """What Git says: each blob is written, and `mktree` sorts and writes the tree."""
    entries = [
        f"100644 blob {git(repository, 'hash-object', '-w', '--stdin', stdin=content)}\t{name}"
        for name, content in files.items()
    ]
    entries += [f"040000 tree {tree}\t{name}" for name, tree in (folders or {}).items()]
    listing = "".join(f"{entry}\0" for entry in entries).encode()
    return git(repository, "mktree", "-z", "--missing", stdin=listing)


def test_empty_folder_has_the_id_that_every_git_knows() -> None:
    assert tree_id({}) == EMPTY_TREE


@pytest.mark.parametrize(
    "files",
    [
        {"tenant.json": b"{}\n"},
        {"b": b"", "a": b"\0\xff", "A": b"x" * 70_000},
        {"é.yaml": "ü".encode(), "z z": b"1", "-rf": b"2"},
    ],
    ids=["one", "binary", "names"],
)
def test_files_have_the_id_that_git_gives(repository: Path, files: dict[str, bytes]) -> None:
    assert tree_id(files) == real_tree_id(repository, files)


@pytest.mark.parametrize("neighbor", ["local", "local-x", "local.yaml", "local0", "loca"])
def test_folders_sort_as_if_their_name_ended_in_a_slash(repository: Path, neighbor: str) -> None:
    local = real_tree_id(repository, {"kustomization.yaml": b"kind: Component\n"})
    name = "local" if neighbor != "local" else "other"
    files, folders = {neighbor: b"a"}, {name: local}
    assert tree_id(files, folders=folders) == real_tree_id(repository, files, folders)


def test_folder_of_any_depth_has_the_id_that_git_gives(repository: Path) -> None:
    deep = real_tree_id(repository, {"x.json": b"{}"})
    base = real_tree_id(repository, {"api.yaml": b"a", "b": b"b"}, {"config": deep})
    whole = real_tree_id(repository, {"base.yaml": b"c"}, {"base": base})
    files = {"base/config/x.json": b"{}", "base/api.yaml": b"a", "base/b": b"b", "base.yaml": b"c"}
    assert folder_id(files) == whole
    assert folder_id({}) == EMPTY_TREE


def test_content_name_and_sub_folder_each_count() -> None:
    ids = {
        tree_id({"a": b"1"}),
        tree_id({"a": b"2"}),
        tree_id({"b": b"1"}),
        tree_id({"a": b"1"}, folders={"local": EMPTY_TREE}),
    }
    assert len(ids) == 4


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(files=st.dictionaries(NAMES, st.binary(max_size=40), max_size=4), folder=NAMES)
def test_any_names_and_contents_have_the_id_that_git_gives(
    repository: Path, files: dict[str, bytes], folder: str
) -> None:
    folders = {} if folder in files else {folder: EMPTY_TREE}
    assert tree_id(files, folders=folders) == real_tree_id(repository, files, folders)

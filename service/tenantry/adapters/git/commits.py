"""Building commits in the object database, with `git fast-import`; there is no work tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tenantry.adapters.git import objects
from tenantry.adapters.git.clone import BUILD_REF, Clone
from tenantry.core.errors import RepositoryError


@dataclass(frozen=True)
class Change:
    """One commit: the files that `folder` holds afterwards, beside the sub-folders that it keeps
    (name -> tree id); where it holds nothing, it is gone. At the top ("") files are only added.
    """

    folder: str
    files: Mapping[str, bytes]
    message: str
    keeps: Mapping[str, str] = field(default_factory=dict)
    merges: str | None = None  # a commit that is merged in; then all is as there, but for the above


@dataclass(frozen=True)
class Commit:
    """A commit that was built, and the tree id of the folder it is about."""

    sha: str
    tree: str | None  # None: it is gone


def build(
    clone: Clone, parent: str | None, changes: Sequence[Change], *, author: str, now: datetime
) -> list[Commit]:
    """One commit per change, on top of `parent`."""
    marks = clone.open() / "tenantry.marks"
    stamp = f"{author} {int(now.timestamp())} +0000"
    merged = {change.merges for change in changes if change.merges}
    found = objects.find_trees(clone, [(commit, "") for commit in merged]) if merged else {}
    roots = {commit: tree for (commit, _), tree in found.items()}
    stream = b"".join(_stream(parent, changes, stamp, roots))
    clone.must("fast-import", "--quiet", "--force", f"--export-marks={marks}", stdin=stream)
    shas = dict(line.split() for line in marks.read_text().splitlines())
    commits = [shas[f":{number}"] for number in range(1, len(changes) + 1)]
    names = (f"{sha}:{change.folder}" for sha, change in zip(commits, changes, strict=True))
    trees = objects.look_up(clone, names)
    for change, tree in zip(changes, trees, strict=True):
        if tree is None and (change.files or change.keeps):
            raise RepositoryError("fast-import lost a folder")
    return [Commit(sha, tree) for sha, tree in zip(commits, trees, strict=True)]


def _stream(
    parent: str | None, changes: Sequence[Change], stamp: str, roots: Mapping[str, str | None]
) -> Iterable[bytes]:
    yield b"feature done\n"
    yield f"reset {BUILD_REF}\n".encode() + (f"from {parent}\n\n".encode() if parent else b"\n")
    for number, change in enumerate(changes, start=1):
        yield f"commit {BUILD_REF}\nmark :{number}\n".encode()
        yield f"author {stamp}\ncommitter {stamp}\n".encode()
        yield _data(change.message.encode())
        if change.merges:
            yield f'merge {change.merges}\nM 040000 {roots[change.merges]} ""\n'.encode()
        yield from _file_commands(change)
    yield b"done\n"


def _file_commands(change: Change) -> Iterable[bytes]:
    prefix = f"{change.folder}/" if change.folder else ""
    if change.folder:
        yield f"D {change.folder}\n".encode()
    for name, tree in sorted(change.keeps.items()):
        yield f"M 040000 {tree} {prefix}{name}\n".encode()
    for name, content in sorted(change.files.items()):
        yield f"M 100644 inline {prefix}{name}\n".encode()
        yield _data(content)


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)

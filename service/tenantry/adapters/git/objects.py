"""Reading commits, trees and files out of the clone, many with one process."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from tenantry.adapters.git.clone import Clone
from tenantry.core.errors import RepositoryError

BLOBS_AT_ONCE = 256
NOT_A_TREE = "not a tree"  # in place of a tree's id


@dataclass(frozen=True)
class Entry:
    """What stands at a path: mode, `blob` or `commit` (a submodule), object id."""

    mode: str
    kind: str
    id: str
    path: str


def look_up(clone: Clone, names: Iterable[str]) -> list[str | None]:
    """The object id of each name; None where there is no such object."""
    return [found and found[0] for found in _ask(clone, names)]


def find_trees(clone: Clone, names: Iterable[str]) -> list[str | None]:
    """The id of each name's tree; None where nothing is, NOT_A_TREE where something else is."""
    return [
        found and (found[0] if found[1] == "tree" else NOT_A_TREE) for found in _ask(clone, names)
    ]


def list_entries(clone: Clone, tree: str, path: str = "") -> Iterator[Entry]:
    """Every file below a commit or tree, or below `path` in it, by path from its top."""
    below = ("--", path) if path else ()
    listed = clone.must("ls-tree", "-r", "-z", "--full-tree", tree, *below)
    for line in listed.decode(errors="surrogateescape").split("\0"):
        if line:
            meta, _, name = line.partition("\t")
            mode, kind, found = meta.split(" ")
            yield Entry(mode, kind, found, name)


def read_blobs(clone: Clone, ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Each id with its bytes, in the order asked, some hundreds in memory at a time.
    RepositoryError where one is missing.
    """
    waiting = iter(ids)
    while asked := list(islice(waiting, BLOBS_AT_ONCE)):
        names = "".join(f"{name}\n" for name in asked)
        yield from _objects(clone.must("cat-file", "--batch", stdin=names.encode()))


def entries_but(clone: Clone, tree: str, name: str) -> set[bytes]:
    """The lines of a tree, without the entry `name`."""
    listed = clone.must("ls-tree", "-z", tree).split(b"\0")
    return {entry for entry in listed if not entry.endswith(b"\t" + name.encode())}


def descends(clone: Clone, head: str, ancestor: str) -> bool:
    """Whether `ancestor` is in the history of `head`; False where one of them is not known."""
    if None in look_up(clone, (f"{commit}^{{commit}}" for commit in (head, ancestor))):
        return False
    if head == ancestor:
        return True
    # 1 is "no" and no failure; so that a failure still is one, both were looked up before.
    return clone.run("merge-base", "--is-ancestor", ancestor, head).returncode == 0


def in_history(clone: Clone, head: str, commits: Collection[str]) -> set[str]:
    """Those of the commits that are in the history of `head`. Two processes for all."""
    found = look_up(clone, (f"{commit}^{{commit}}" for commit in commits))
    known = {commit for commit, there in zip(commits, found, strict=True) if there}
    asked = "".join(f"{name}\n" for name in (*known, f"^{head}"))
    outside = clone.must("rev-list", "--stdin", stdin=asked.encode()).decode().split()
    return known.difference(outside)


def _ask(clone: Clone, names: Iterable[str]) -> list[tuple[str, str] | None]:
    """The id and type of each name's object; None where there is no such object."""
    asked = "".join(f"{name}\n" for name in names).encode()
    answers = clone.must("cat-file", "--batch-check", stdin=asked).decode().splitlines()
    facts = (answer.split() for answer in answers)
    return [None if fact[-1] == "missing" else (fact[0], fact[1]) for fact in facts]


def _objects(batch: bytes) -> Iterator[tuple[str, bytes]]:
    """What `cat-file --batch` printed: for each object a line that ends in its size, then it."""
    start = 0
    while start < len(batch):
        end = batch.index(b"\n", start)
        name, *facts = batch[start:end].decode().split()
        if facts == ["missing"]:
            raise RepositoryError(f"git has no object {name}")
        start = end + 1 + int(facts[-1]) + 1
        yield name, batch[end + 1 : start - 1]

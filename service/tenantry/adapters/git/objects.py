"""Reading commits, trees and files out of the clone, many with one process."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, islice
from typing import NamedTuple

from tenantry.adapters.git.clone import Clone
from tenantry.adapters.process import MEBIBYTE
from tenantry.core.errors import ProductError

BLOBS_AT_ONCE = 256
BYTES_AT_ONCE = 8 * MEBIBYTE  # of blobs
FILES_AT_MOST = 8 * MEBIBYTE  # of one folder: a platform version, or what reviewers add
NOT_A_TREE = "not a tree"  # in place of a tree's id
_ENTRY = re.compile(rb"(\d+) ([^\0]+)\0.{20}", re.DOTALL)  # of a tree: mode, name, id
_SUBMODULE = "160000"

Place = tuple[str, str]  # a commit or tree, and a path in it


@dataclass(frozen=True)
class Entry:
    """What stands at a path: mode, `blob` or `commit` (a submodule), object id."""

    mode: str
    kind: str
    id: str
    path: str


def look_up(clone: Clone, names: Iterable[str]) -> list[str | None]:
    """The object id of each name; None where there is no such object."""
    return [found and found.id for found in _ask(clone, names)]


def find_trees(clone: Clone, places: Sequence[Place]) -> dict[Place, str | None]:
    """The id of the tree at each place; None where nothing is, NOT_A_TREE where something else is.
    RepositoryError where one is listed that this clone has not.
    """
    found = dict(zip(places, _ask(clone, map(_name, places)), strict=True))
    trees = {place: fact and _tree(fact) for place, fact in found.items()}
    absent = {place for place, tree in trees.items() if tree is None}
    return trees | dict.fromkeys(_find_submodules(clone, absent), NOT_A_TREE)


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
    """Each id with its bytes, in the order asked; in memory are about BYTES_AT_ONCE, or one
    that is larger. RepositoryError where one is missing.
    """
    waiting = iter(ids)
    while asked := list(islice(waiting, BLOBS_AT_ONCE)):
        ends = accumulate(sizes(clone, asked))
        for _, part in groupby(
            zip(asked, ends, strict=True), lambda each: each[1] // BYTES_AT_ONCE
        ):
            for blob in _read(clone, (name for name, _ in part)):
                yield blob.id, blob.content


def read_files(clone: Clone, tree: str) -> Mapping[str, bytes]:
    """All files below a tree, by path relative to it; ProductError where they are too large."""
    found = [entry for entry in list_entries(clone, tree) if entry.kind == "blob"]
    ids = [entry.id for entry in found]
    bytes_of = dict(zip(ids, sizes(clone, ids), strict=True))
    if sum(bytes_of[name] for name in ids) > FILES_AT_MOST:
        largest = max(found, key=lambda entry: bytes_of[entry.id])
        raise ProductError(
            f"its folder holds more than {FILES_AT_MOST // MEBIBYTE} MiB, so it is not read",
            file=largest.path,
            hint="keep large files out of the repository",
        )
    contents = read_blobs(clone, ids)
    return {entry.path: content for entry, (_, content) in zip(found, contents, strict=True)}


def sizes(clone: Clone, ids: Sequence[str]) -> list[int]:
    """Of each in bytes, in the order asked. RepositoryError where one is missing."""
    found = _ask(clone, ids)
    if None in found:
        raise clone.failure(f"git has no object {ids[found.index(None)]}")
    return [fact.size for fact in found if fact]


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
    return clone.ask("merge-base", "--is-ancestor", ancestor, head)[0]


def in_history(clone: Clone, head: str, commits: Collection[str]) -> set[str]:
    """Those of the commits that are in the history of `head`. A few processes for all."""
    found = look_up(clone, (f"{commit}^{{commit}}" for commit in commits))
    known = {commit for commit, there in zip(commits, found, strict=True) if there}
    asked = "".join(f"{name}\n" for name in (*known, f"^{head}"))
    if not clone.must("rev-list", "--stdin", stdin=asked.encode()):
        return known
    # It goes by dates: where clocks disagreed it may stop too early, and name what is in there.
    return known.intersection(clone.must("rev-list", head).decode().split())


class _Fact(NamedTuple):
    id: str
    kind: str
    size: int


class _Object(NamedTuple):
    id: str
    kind: str  # or git's word for what it has not, and then the id is what was asked for
    content: bytes


def _ask(clone: Clone, names: Iterable[str]) -> list[_Fact | None]:
    """What each name's object is; None where there is no such object."""
    asked = "".join(f"{name}\n" for name in names).encode()
    _, answers = clone.ask("cat-file", "--batch-check", stdin=asked)
    facts = (answer.split() for answer in answers.decode().splitlines())
    return [
        _Fact(fact[0], fact[1], int(fact[2]))
        if fact[-1].isdigit()  # and not `missing`, nor `submodule`, as later versions of git say
        else None
        for fact in facts
    ]


def _tree(fact: _Fact) -> str:
    return fact.id if fact.kind == "tree" else NOT_A_TREE


def _find_submodules(clone: Clone, absent: set[Place]) -> set[Place]:
    """Those of the places where git found no object because it is another repository's. Of others
    that the folder above lists the object is lost: RepositoryError.
    """
    found: set[Place] = set()
    asked = absent
    while asked := {place for place in asked if place[1]}:
        above = list({_above(place) for place in asked})
        folders = dict(zip(above, _read(clone, map(_name, above)), strict=True))
        listed = {place: _modes(folder) for place, folder in folders.items()}
        for place in asked:
            mode = listed[_above(place)].get(place[1].rpartition("/")[2])
            if mode == _SUBMODULE:
                found.add(place)
            elif mode:
                raise clone.failure(f"git has lost what stands at {place[1]}")
        asked = {place for place, folder in folders.items() if folder.kind == "missing"}
    return found & absent


def _modes(folder: _Object) -> dict[str, str]:
    """Of a tree, the mode of each of its entries."""
    entries = _ENTRY.findall(folder.content) if folder.kind == "tree" else ()
    return {name.decode(errors="replace"): mode.decode() for mode, name in entries}


def _name(place: Place) -> str:
    return f"{place[0]}:{place[1]}"


def _above(place: Place) -> Place:
    return place[0], place[1].rpartition("/")[0]


def _read(clone: Clone, names: Iterable[str]) -> Iterator[_Object]:
    """Each name's object."""
    asked = "".join(f"{name}\n" for name in names).encode()
    _, batch = clone.ask("cat-file", "--batch", stdin=asked)
    start = 0
    while start < len(batch):
        end = batch.index(b"\n", start)
        name, kind, *size = batch[start:end].decode().split()
        start = end + 1
        content = b""
        if size:
            content = batch[start : start + int(size[0])]
            start += len(content) + 1
        yield _Object(name, kind, content)

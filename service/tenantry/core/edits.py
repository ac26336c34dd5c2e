"""What people changed in files that we write, and what of it can stand beside what we write next.

Files are compared by their blob ids, or by any other content that can be told apart: so what was
rendered earlier need not be kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import unified_diff
from typing import Generic, TypeVar

C = TypeVar("C")  # a file's content, or the id of it

Pair = tuple[C | None, C | None]  # before and after; None: there is no such file
Changes = Mapping[str, Pair[C]]  # by name


@dataclass(frozen=True)
class Edit:
    """A person's edit that a tree keeps: the tree that we rendered, and how its blobs changed."""

    rendered: str
    files: Changes[str]

    def leaves_as(self, other: Edit) -> bool:
        """Whether both leave the same in the files that were edited, whatever we rendered there."""
        return _left(self.files) == _left(other.files)


@dataclass(frozen=True)
class Carried(Generic[C]):
    """Our files with what could stay of an edit, and the names where only one of both can stand."""

    files: Mapping[str, C]
    kept: Changes[C]
    conflicts: tuple[str, ...]

    @property
    def edited(self) -> tuple[str, ...]:
        """The names of the files that are not as we write them."""
        return tuple(self.kept)


def changes(before: Mapping[str, C], after: Mapping[str, C]) -> dict[str, Pair[C]]:
    """The files that differ, by name."""
    names = sorted(before.keys() | after.keys())
    pairs = {name: (before.get(name), after.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def undo(after: Mapping[str, C], changed: Changes[C]) -> dict[str, C]:
    """The files as they were before the changes."""
    return _replace(after, {name: was for name, (was, _) in changed.items()})


def carry(base: Mapping[str, C], theirs: Mapping[str, C], ours: Mapping[str, C]) -> Carried[C]:
    """People made `theirs` of `base`, and we would make `ours` of it: file by file, an edit stays
    where we change nothing, and is none where we write the same.
    """
    kept, conflicts = {}, []
    for name, (was, now) in changes(base, theirs).items():
        if ours.get(name) == was:
            kept[name] = (was, now)
        elif ours.get(name) != now:
            conflicts.append(name)
    return Carried(_replace(ours, _left(kept)), kept, tuple(conflicts))


def describe(name: str, before: bytes, after: bytes, *, most_lines: int) -> str:
    """The difference of one file, for people; at most so many lines of it."""
    old, new = (each.decode(errors="replace").splitlines() for each in (before, after))
    lines = list(unified_diff(old, new, f"a/{name}", f"b/{name}", lineterm="", n=1))
    more = len(lines) - most_lines
    return "\n".join(lines[:most_lines] + ([f"… {more} more lines"] if more > 0 else []))


def _left(changed: Changes[C]) -> dict[str, C | None]:
    return {name: now for name, (_, now) in changed.items()}


def _replace(files: Mapping[str, C], contents: Mapping[str, C | None]) -> dict[str, C]:
    kept = {name: content for name, content in files.items() if name not in contents}
    return kept | {name: content for name, content in contents.items() if content is not None}

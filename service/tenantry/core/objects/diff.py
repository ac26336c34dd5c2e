"""What differs between two sets of objects, for people: a unified diff for each object."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from tenantry.core.objects.item import Item
from tenantry.core.objects.upgrade import Key, by_key

_HASH = re.compile(r"-[bcdfghkmt2456789]{10}$")  # that Kustomize appends to a generated name
_WIDTH = 10_000  # of a line, so that no value is broken


@dataclass(frozen=True)
class Difference:
    """One object: what it is called in each set, None where it is not there; lines of a diff."""

    old: str | None  # kind/name
    new: str | None
    lines: Sequence[str]


def diff_objects(
    old: Sequence[Mapping[str, Any]],
    new: Sequence[Mapping[str, Any]],
    names: tuple[str, str],
) -> list[Difference]:
    """Every object that is not the same in both; `names` are what to call the sets."""
    return [
        Difference(
            before.where if before else None,
            after.where if after else None,
            list(difflib.unified_diff(_lines(before), _lines(after), *names, lineterm="")),
        )
        for before, after in _pairs(by_key(old), by_key(new))
        if before is None or after is None or before.body != after.body
    ]


def _pairs(
    old: Mapping[Key, Item], new: Mapping[Key, Item]
) -> Iterator[tuple[Item | None, Item | None]]:
    """Objects that are one and the same: of one name, or of one that ends in a hash of content."""
    added = {_stem(key): item for key, item in new.items() if key not in old}
    for key, before in old.items():
        yield before, new[key] if key in new else added.pop(_stem(key), None)
    yield from ((None, after) for after in added.values())


def _stem(key: Key) -> Key:
    group, kind, name = key
    return group, kind, _HASH.sub("", name)


def _lines(item: Item | None) -> list[str]:
    if item is None:
        return []
    text = yaml.dump(
        dict(item.body), Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=_WIDTH
    )
    return str(text).splitlines()


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such, or a diff of a configuration file would be one line
    long; and no anchors.
    """

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style=style)


_Dumper.add_multi_representer(str, _write_text)  # what was read has types of its own
_Dumper.add_representer(str, _write_text)

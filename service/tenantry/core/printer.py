"""YAML written so that no two readers can read it differently.

There is one style: every string that is data stands in double quotes. Characters that cannot be
told apart on a page (right-to-left marks, zero-width ones) are written as escapes, others as UTF-8.
Characters that start a new line for one reader and not for another are refused.

A tree may have holes, whose values come later and often: what stands around them is written once.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
_MAPPING = (dict, Mapping)  # the plain one first: asking the abstract one takes long
_COLLECTION = (list, tuple, *_MAPPING)
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


class UnsafeText(ValueError):
    """A text holds a character that YAML readers do not agree on."""


@dataclass(frozen=True)
class Block:
    """A tree whose YAML is the text that stands here, written line by line, for people to read in a
    diff. Only as the value of a key.
    """

    tree: Any


@dataclass(frozen=True)
class Hole:
    """A place in a tree for the value of this number, counted from 0."""

    number: int


class Form:
    """A tree with holes, written but for them."""

    def __init__(self, tree: Any) -> None:
        """UnsafeText or TypeError for what cannot be written without doubt."""
        lines: list[_Line] = []
        _write(tree, "", lines)
        self._parts: list[_Line] = []
        for is_text, group in groupby(lines, lambda line: isinstance(line, str)):
            run = list(group)
            self._parts += ["\n".join(map(str, run))] if is_text else run

    def fill(self, values: Sequence[Any]) -> bytes:
        """As `dump` writes the tree with these values in its holes."""
        lines: list[_Line] = []
        for part in self._parts:
            if isinstance(part, str):
                lines.append(part)
            else:
                part.write(values[part.number], lines)
        return ("\n".join(map(str, lines)) + "\n").encode()


def check_text(text: str) -> str:
    """The text itself; UnsafeText where it holds a control character (tab and line feed are none),
    another reader's line separator, or half a surrogate pair.
    """
    if found := _FORBIDDEN.search(text):
        raise UnsafeText(f"holds U+{ord(found[0]):04X}, which is not allowed")
    return text


def dump(tree: Any) -> bytes:
    """The tree of mappings, lists and scalars as one YAML document in UTF-8, ending in a newline.

    Keys keep their order. Same tree, same bytes. UnsafeText or TypeError for what cannot be written
    without doubt.
    """
    return Form(tree).fill(())


@dataclass(frozen=True)
class _Open:
    """What begins on this line waits for the value of a hole."""

    number: int
    head: str  # what stands on the line before it
    indent: str  # of the collection that it is in
    is_under_key: bool

    def write(self, value: Any, lines: list[_Line]) -> None:
        if self.is_under_key:
            _write_under(self.head, value, self.indent, lines)
            return
        start = len(lines)
        _write(value, self.indent, lines)
        lines[start] = self.head + str(lines[start])[len(self.head) :]


_Line = str | _Open


def _write(value: Any, indent: str, lines: list[_Line]) -> None:
    if isinstance(value, Hole):
        lines.append(_Open(value.number, indent, indent, is_under_key=False))
    elif isinstance(value, _MAPPING) and value:
        for key, child in value.items():
            _write_under(f"{indent}{_key(key)}:", child, indent, lines)
    elif isinstance(value, (list, tuple)) and value:
        for child in value:
            _write_item(child, indent, lines)
    else:
        lines.append(indent + _scalar(value))


def _write_under(head: str, child: Any, indent: str, lines: list[_Line]) -> None:
    """A key and its value: on one line, or the value deeper below."""
    if isinstance(child, str):  # most are
        lines.append(f"{head} {_quote(child)}")
    elif isinstance(child, Hole):
        lines.append(_Open(child.number, head, indent, is_under_key=True))
    elif isinstance(child, Block):
        lines.append(f"{head} |")
        _write(child.tree, indent + "  ", lines)
    elif isinstance(child, _COLLECTION) and child:
        lines.append(head)
        _write(child, indent + "  ", lines)
    else:
        lines.append(f"{head} {_scalar(child)}")


def _write_item(child: Any, indent: str, lines: list[_Line]) -> None:
    """A list item; a mapping's first key stands beside the dash."""
    start = len(lines)
    _write(child, indent + "  ", lines)
    lines[start] = _begin_item(lines[start], indent)


def _begin_item(line: _Line, indent: str) -> _Line:
    if isinstance(line, _Open):
        return replace(line, head=str(_begin_item(line.head, indent)))
    return f"{indent}- {line[len(indent) + 2 :]}"


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key must be text, not {type(key).__name__}")
    return key if _PLAIN_KEY.fullmatch(key) and key.lower() not in _WORDS else _quote(key)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _quote(value)
    if value is None or isinstance(value, bool | int):
        return json.dumps(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, _MAPPING):
        return "{}"
    if isinstance(value, (list, tuple)):
        return "[]"
    raise TypeError(f"cannot be written: {type(value).__name__}")


def _quote(text: str) -> str:
    check_text(text)
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(map(_escape, text)) + '"'


def _escape(char: str) -> str:
    if short := _SHORT.get(char):
        return short
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"

"""YAML written so that no two readers can read it differently.

There is one style: every string that is data stands in double quotes. Characters that cannot be
told apart on a page (right-to-left marks, zero-width ones) are written as escapes, others as UTF-8.
Characters that start a new line for one reader and not for another are refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


class UnsafeText(ValueError):
    """A text holds a character that YAML readers do not agree on."""


class Block(str):
    """A text of several lines that `dump` writes line by line, for people to read in a diff."""

    __slots__ = ()


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
    lines: list[str] = []
    _write(tree, "", lines)
    return ("\n".join(lines) + "\n").encode()


def _write(value: Any, indent: str, lines: list[str]) -> None:
    if isinstance(value, Mapping) and value:
        for key, child in value.items():
            _write_under(f"{indent}{_key(key)}:", child, indent, lines)
    elif isinstance(value, (list, tuple)) and value:
        for child in value:
            _write_item(child, indent, lines)
    else:
        lines.append(indent + _scalar(value))


def _write_under(head: str, child: Any, indent: str, lines: list[str]) -> None:
    """A key and its value: on one line, or the value deeper below."""
    if isinstance(child, Block):
        lines.append(f"{head} |")
        lines.extend(f"{indent}  {line}" for line in _block_lines(child))
    elif isinstance(child, (Mapping, list, tuple)) and child:
        lines.append(head)
        _write(child, indent + "  ", lines)
    else:
        lines.append(f"{head} {_scalar(child)}")


def _write_item(child: Any, indent: str, lines: list[str]) -> None:
    """A list item; a mapping's first key stands beside the dash."""
    start = len(lines)
    _write(child, indent + "  ", lines)
    lines[start] = f"{indent}- {lines[start][len(indent) + 2 :]}"


def _block_lines(text: str) -> list[str]:
    check_text(text)
    if not re.fullmatch(r"(\S(.*\S)?\n( *\S(.*\S)?\n)*)", text):
        raise UnsafeText("cannot be written as a block")
    return text.splitlines()


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
    if isinstance(value, Mapping):
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

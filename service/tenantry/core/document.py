"""YAML documents, read as Kustomize reads them (`core.printer` writes them).

Reading follows Go's rules for plain scalars (`1e3` is a number, `on` and `08:00` are text), because
that is how Kustomize and Kubernetes read the same bytes; PyYAML's own rules differ. Each text keeps
its line, so that a message can name it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import yaml

from tenantry.core.errors import ProductError

Path = tuple[str | int, ...]  # keys and indexes from the root of a document to a value


class Text(str):
    """A text of a document that remembers its line (0: not from a file)."""

    __slots__ = ("line",)
    line: int

    def __new__(cls, value: str, line: int = 0) -> Text:
        self = super().__new__(cls, value)
        self.line = line
        return self


DEPTH_LIMIT = 200  # collections within each other


class _Loader(yaml.CSafeLoader):
    """Go's rules for plain scalars, no duplicate keys, texts that know their line."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )


def _construct_text(loader: _Loader, node: yaml.ScalarNode) -> Text:
    return Text(str(loader.construct_scalar(node)), node.start_mark.line + 1)


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    if re.fullmatch(r"[-+]?0[0-7_]+", text):  # Go reads C's way of writing octal
        return int(text.replace("_", ""), 8)
    return int(text, 0)


def _construct_float(loader: _Loader, node: yaml.ScalarNode) -> float | Text:
    """Go takes a number that is too large for a text: `56e9999` stands without quotes."""
    value = loader.construct_yaml_float(node)
    if math.isinf(value) and "inf" not in node.value.lower():
        return _construct_text(loader, node)
    return float(value)


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if reason := _refuse_key(key, seen):
            shown = repr(key.value) if isinstance(key, yaml.ScalarNode) else "{…}"
            message = f"key {shown} {reason}"
            raise yaml.constructor.ConstructorError(None, None, message, key.start_mark)
        seen.add(key.value)
    return {str(k): v for k, v in loader.construct_mapping(node, deep=True).items()}


def _refuse_key(key: yaml.Node, seen: set[str]) -> str | None:
    if key.tag != "tag:yaml.org,2002:str":
        return "is not text"
    if key.value == "<<" and not getattr(key, "style", None):  # Go would merge what follows
        return "merges mappings, which is not used here"
    return "appears twice" if key.value in seen else None


_Loader.add_constructor("tag:yaml.org,2002:str", _construct_text)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)
_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)


def load(text: str | bytes, file: str) -> Any:
    """The one document in `text`; ProductError with file, line and hint where it is none."""
    documents = load_all(text, file)
    if len(documents) != 1:
        raise ProductError(f"holds {len(documents)} documents, not one", file=file)
    return documents[0]


def load_all(text: str | bytes, file: str) -> list[Any]:
    """Every document in `text`, in order; ProductError where it cannot be read."""
    try:
        decoded = _decode(text)
        _check_depth(decoded, file)
        return list(yaml.load_all(decoded, Loader=_Loader))
    except UnicodeDecodeError as error:
        raise ProductError("is not UTF-8", file=file) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _explain(error, file) from error


def _check_depth(text: str, file: str) -> None:
    """libyaml composes by recursion and would take the process down; its events come one by one."""
    if len(text) <= DEPTH_LIMIT:
        return
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_LIMIT:
            raise ProductError(f"is nested more than {DEPTH_LIMIT} deep", file=file)


def find_line(text: str, path: Sequence[str | int]) -> int | None:
    """The line (from 1) of the value at `path`, or of the innermost part of it that exists."""
    node = yaml.compose(_decode(text), Loader=_Loader)
    line = node.start_mark.line + 1 if node else None
    for part in path:
        key, node = _child(node, part)
        if key is None:
            break
        line = key.start_mark.line + 1
    return line


def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node | None, yaml.Node | None]:
    """The node that says `part` within `node`, and the node of its value."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return key, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None, None


def leaves(tree: Any, path: Path = ()) -> Iterable[tuple[Path, Any]]:
    """Every scalar (and empty collection) of the tree with its path."""
    if isinstance(tree, Mapping) and tree:
        for key, child in tree.items():
            yield from leaves(child, (*path, key))
    elif isinstance(tree, (list, tuple)) and tree:
        for index, child in enumerate(tree):
            yield from leaves(child, (*path, index))
    else:
        yield path, tree


def show_path(path: Sequence[str | int]) -> str:
    """A path for people: `spec.rules[0].host`."""
    shown = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return shown.lstrip(".") or "the document"


def _decode(text: str | bytes) -> str:
    return text.decode() if isinstance(text, bytes) else str(text)


def _explain(error: Exception, file: str) -> ProductError:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    return ProductError(
        f"is not YAML that can be used: {problem}",
        file=file,
        line=mark.line + 1 if mark else None,
        hint=_hint(str(problem)),
    )


def _hint(problem: str) -> str:
    if "appears twice" in problem:
        return "keep one of the two"
    if "could not determine a constructor" in problem:
        return "tags (!name) are not used here"
    if "merges mappings" in problem:
        return "write out what it merges"
    if "is not text" in problem:
        return "quote it; a template, such as Helm's, is rendered before it comes here"
    return "quote texts that hold ': ', '{' or '#', and indent with spaces"

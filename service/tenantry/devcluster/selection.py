"""`fields=`: the fixed list that LIST understands, and the stream's general one.

LIST silently drops members that are not on its list; a parent together with its child is a 500.
The stream takes any path, below `result`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]


class ParentAndChild(Exception):
    """A field and one within it were asked for."""


def _path(*names: str) -> Callable[[Document], tuple[bool, Any]]:
    def read(document: Document) -> tuple[bool, Any]:
        value: Any = document
        for name in names:
            if not isinstance(value, Mapping) or name not in value:
                return False, None
            value = value[name]
        return True, value

    return read


def _or(default: Any, *names: str) -> Callable[[Document], tuple[bool, Any]]:
    read = _path(*names)

    def read_or(document: Document) -> tuple[bool, Any]:
        found, value = read(document)
        return True, value if found else default

    return read_or


def _finished_at(document: Document) -> tuple[bool, Any]:
    state = document["status"].get("operationState")
    return state is not None, (state or {}).get("finishedAt")  # null while it runs


LIST_FIELDS: Mapping[str, Callable[[Document], tuple[bool, Any]]] = {
    "metadata.name": _path("metadata", "name"),
    "metadata.annotations": _or(None, "metadata", "annotations"),
    "metadata.labels": _or(None, "metadata", "labels"),
    "metadata.creationTimestamp": _path("metadata", "creationTimestamp"),
    "metadata.deletionTimestamp": _or(None, "metadata", "deletionTimestamp"),
    "spec": _path("spec"),
    "spec.project": _path("spec", "project"),
    "status.sourceType": _or("", "status", "sourceType"),
    "status.sync.status": _or("", "status", "sync", "status"),
    "status.sync.revision": _or("", "status", "sync", "revision"),
    "status.health": _path("status", "health"),
    "status.summary": _path("status", "summary"),
    "status.operationState.phase": _path("status", "operationState", "phase"),
    "status.operationState.startedAt": _path("status", "operationState", "startedAt"),
    "status.operationState.finishedAt": _finished_at,
    # not what its name says: the whole result of the sync
    "status.operationState.operation.sync": _path("status", "operationState", "syncResult"),
    "operation.sync": _path("operation", "sync"),
}


def select_item(document: Document, wanted: Sequence[str]) -> dict[str, Any]:
    """One Application of a LIST with the fields asked for (without `items.`)."""
    _refuse_nested(wanted)
    selected: dict[str, Any] = {}
    for name in sorted(set(wanted) & LIST_FIELDS.keys()):
        found, value = LIST_FIELDS[name](document)
        if found:
            _put(selected, name.split("."), value)
    return selected


def without_resource_health(document: Document) -> dict[str, Any]:
    """An Application as a LIST without `fields` shows it."""
    status = dict(document["status"])
    if "resources" in status:
        status["resources"] = [
            {name: value for name, value in one.items() if name != "health"}
            for one in status["resources"]
        ]
    return {**document, "status": status}


def select(message: Any, wanted: Sequence[str], at: str = "") -> Any:
    """A message of the stream with only the paths asked for, members sorted."""
    if isinstance(message, Mapping):
        kept = {}
        for name in sorted(message):
            path = f"{at}.{name}" if at else name
            if any(path == one or path.startswith(f"{one}.") for one in wanted):
                kept[name] = message[name]
            elif any(one.startswith(f"{path}.") for one in wanted):
                kept[name] = select(message[name], wanted, path)
        return kept
    if isinstance(message, list):
        return [select(item, wanted, at) for item in message]
    return message


def _refuse_nested(wanted: Sequence[str]) -> None:
    known = [name for name in wanted if name in LIST_FIELDS]
    if any(child.startswith(f"{parent}.") for parent in known for child in known):
        raise ParentAndChild


def _put(into: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        into = into.setdefault(name, {})
    into[path[-1]] = value

"""What lives in a tenant's namespace, as Argo CD tells it: objects, what became of them, and what
Kubernetes noted about them. This is where a failure's own words are found.

Tolerant like `core.application`, and no more than a reader: what a message means is told elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tenantry.core.members import count_of, object_of, objects_of, parse_time, text_of


@dataclass(frozen=True)
class Node:
    """One object of the resource tree. `parents`: uids of what it was made by; none of an object
    that is in Git. `group`: "" is Kubernetes' core; `namespace`: "" of the cluster's objects.
    """

    kind: str
    group: str
    namespace: str
    name: str
    uid: str
    parents: tuple[str, ...] = ()
    health: str = ""
    message: str = ""
    created_at: datetime | None = None


@dataclass(frozen=True)
class Happening:
    """A Kubernetes event about the object of this kind, name and uid; `count` times until
    `last_seen`.
    """

    kind: str
    name: str
    uid: str
    is_warning: bool
    reason: str
    message: str
    count: int = 1
    last_seen: datetime | None = None


def parse_tree(body: Mapping[str, Any]) -> tuple[Node, ...]:
    """The tenant's objects. Argo CD's `orphanedNodes` are of nobody, and left out."""
    return tuple(_node(found) for found in objects_of(body, "nodes"))


def parse_events(body: Mapping[str, Any]) -> tuple[Happening, ...]:
    """The events of a list, in its order."""
    return tuple(_happening(found) for found in objects_of(body, "items"))


def _node(found: Mapping[str, Any]) -> Node:
    health = object_of(found, "health")
    return Node(
        kind=text_of(found, "kind"),
        group=text_of(found, "group"),
        namespace=text_of(found, "namespace"),
        name=text_of(found, "name"),
        uid=text_of(found, "uid"),
        parents=tuple(text_of(parent, "uid") for parent in objects_of(found, "parentRefs")),
        health=text_of(health, "status"),
        message=text_of(health, "message"),
        created_at=parse_time(found.get("createdAt")),
    )


def _happening(found: Mapping[str, Any]) -> Happening:
    about, series = object_of(found, "involvedObject"), object_of(found, "series")
    return Happening(
        kind=text_of(about, "kind"),
        name=text_of(about, "name"),
        uid=text_of(about, "uid"),
        is_warning=text_of(found, "type") == "Warning",
        reason=text_of(found, "reason"),
        message=text_of(found, "message"),
        # the newer events API counts in a series, and leaves the old members empty
        count=count_of(series, "count") or count_of(found, "count") or 1,
        last_seen=_last_seen(found, series),
    )


def _last_seen(found: Mapping[str, Any], series: Mapping[str, Any]) -> datetime | None:
    return (
        parse_time(series.get("lastObservedTime"))
        or parse_time(found.get("lastTimestamp"))
        or parse_time(found.get("eventTime"))
    )

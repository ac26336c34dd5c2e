"""One Argo CD Application, read from the API's JSON into what readiness is judged by.

Tolerant: Argo CD leaves out what it has not computed yet, and a member of an unexpected type is
treated as missing. Nothing here decides what a state means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


@dataclass(frozen=True)
class Resource:
    """One object of the Application; per-resource health is only on GET."""

    kind: str
    name: str
    health: str = ""
    message: str = ""


@dataclass(frozen=True)
class Application:
    """What Argo CD says about one tenant. Missing texts are "", missing times None; times UTC."""

    name: str
    uid: str = ""
    deleting: bool = False
    health: str = ""
    health_message: str = ""
    sync: str = ""
    revision: str = ""  # what was last compared; not always a commit ("refs/heads/main")
    operation_requested: bool = False  # asked for and not picked up, or running
    phase: str = ""
    applied_revision: str = ""  # what the operation applied; "" until it got so far
    operation_message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    retry_count: int = 0
    reconciled_at: datetime | None = None  # when health and comparison were computed
    conditions: tuple[tuple[str, str], ...] = ()  # (type, message)
    resources: tuple[Resource, ...] = ()

    @property
    def compared_commit(self) -> str | None:
        """The commit that was last compared; None where nothing was, or it is not a commit."""
        return self.revision if is_commit(self.revision) else None

    @property
    def applied_commit(self) -> str | None:
        """The commit that the last operation applied, or tried to; None where it got not so far."""
        return self.applied_revision if is_commit(self.applied_revision) else None

    @property
    def operating(self) -> bool:
        """Whether an operation runs or is about to. A failing one that Argo CD tries again does."""
        return self.operation_requested or self.phase in ("Running", "Terminating")

    @property
    def errors(self) -> tuple[tuple[str, str], ...]:
        """Conditions of the kind `…Error`; others are warnings."""
        return tuple(found for found in self.conditions if found[0].endswith("Error"))


def is_commit(revision: str) -> bool:
    """Whether this is a whole object id, as opposed to a branch or nothing."""
    return _SHA.fullmatch(revision) is not None


def parse_application(body: Mapping[str, Any]) -> Application:
    """The Application within the API's JSON of GET, LIST items or stream events."""
    metadata, status = _object(body, "metadata"), _object(body, "status")
    health, sync = _object(status, "health"), _object(status, "sync")
    operation = _object(status, "operationState")
    return Application(
        name=_text(metadata, "name"),
        uid=_text(metadata, "uid"),
        deleting=bool(_text(metadata, "deletionTimestamp")),
        health=_text(health, "status"),
        health_message=_text(health, "message"),
        sync=_text(sync, "status"),
        revision=_text(sync, "revision"),
        operation_requested=isinstance(body.get("operation"), Mapping),
        phase=_text(operation, "phase"),
        # not operation.sync.revision: a retry with refresh takes a newer commit than was asked for
        applied_revision=_text(_object(operation, "syncResult"), "revision"),
        operation_message=_text(operation, "message"),
        started_at=parse_time(operation.get("startedAt")),
        finished_at=parse_time(operation.get("finishedAt")),
        retry_count=_count(operation, "retryCount"),
        reconciled_at=parse_time(status.get("reconciledAt")),
        conditions=tuple(
            (_text(found, "type"), _text(found, "message"))
            for found in _objects(status, "conditions")
        ),
        resources=tuple(_resource(found) for found in _objects(status, "resources")),
    )


def parse_time(value: object) -> datetime | None:
    """Kubernetes' time text as UTC; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
        return parsed.astimezone(UTC) if parsed.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _resource(found: Mapping[str, Any]) -> Resource:
    health = _object(found, "health")
    return Resource(
        kind=_text(found, "kind"),
        name=_text(found, "name"),
        health=_text(health, "status"),
        message=_text(health, "message"),
    )


def _object(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, Mapping) else {}


def _objects(parent: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    value = parent.get(name)
    several = value if isinstance(value, list) else []
    return [found for found in several if isinstance(found, Mapping)]


def _text(parent: Mapping[str, Any], name: str) -> str:
    value = parent.get(name)
    return value if isinstance(value, str) else ""


def _count(parent: Mapping[str, Any], name: str) -> int:
    value = parent.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0

"""One Argo CD Application, read from the API's JSON into what readiness is judged by.

Tolerant: Argo CD leaves out what it has not computed yet, and a member of an unexpected type is
treated as missing. Nothing here decides what a state means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tenantry.core.members import count_of, object_of, objects_of, parse_time, text_of

_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


@dataclass(frozen=True)
class Resource:
    """One object of the Application; per-resource health is only on GET."""

    kind: str
    name: str
    health: str = ""
    message: str = ""
    group: str = ""
    namespace: str = ""
    sync: str = ""


@dataclass(frozen=True)
class Applied:
    """An object that the last operation could not apply, and the cluster's own words."""

    kind: str
    name: str
    namespace: str
    status: str
    message: str


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
    applied: tuple[Applied, ...] = ()  # only what failed

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
    metadata, status = object_of(body, "metadata"), object_of(body, "status")
    health, sync = object_of(status, "health"), object_of(status, "sync")
    operation = object_of(status, "operationState")
    result = object_of(operation, "syncResult")
    return Application(
        name=text_of(metadata, "name"),
        uid=text_of(metadata, "uid"),
        deleting=bool(text_of(metadata, "deletionTimestamp")),
        health=text_of(health, "status"),
        health_message=text_of(health, "message"),
        sync=text_of(sync, "status"),
        revision=text_of(sync, "revision"),
        operation_requested=isinstance(body.get("operation"), Mapping),
        phase=text_of(operation, "phase"),
        # not operation.sync.revision: a retry with refresh takes a newer commit than was asked for
        applied_revision=text_of(result, "revision"),
        operation_message=text_of(operation, "message"),
        started_at=parse_time(operation.get("startedAt")),
        finished_at=parse_time(operation.get("finishedAt")),
        retry_count=count_of(operation, "retryCount"),
        reconciled_at=parse_time(status.get("reconciledAt")),
        conditions=tuple(
            (text_of(found, "type"), text_of(found, "message"))
            for found in objects_of(status, "conditions")
        ),
        resources=tuple(_resource(found) for found in objects_of(status, "resources")),
        applied=tuple(
            _applied(found) for found in objects_of(result, "resources") if _has_failed(found)
        ),
    )


def _resource(found: Mapping[str, Any]) -> Resource:
    health = object_of(found, "health")
    return Resource(
        kind=text_of(found, "kind"),
        name=text_of(found, "name"),
        health=text_of(health, "status"),
        message=text_of(health, "message"),
        group=text_of(found, "group"),
        namespace=text_of(found, "namespace"),
        sync=text_of(found, "status"),
    )


def _has_failed(found: Mapping[str, Any]) -> bool:
    # a hook is applied well, and fails afterwards
    return text_of(found, "status") == "SyncFailed" or text_of(found, "hookPhase") in (
        "Failed",
        "Error",
    )


def _applied(found: Mapping[str, Any]) -> Applied:
    return Applied(
        kind=text_of(found, "kind"),
        name=text_of(found, "name"),
        namespace=text_of(found, "namespace"),
        status=text_of(found, "status"),
        message=text_of(found, "message"),
    )

"""One Application: what is wanted of it, how far it is, and its document as Argo CD writes it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tenantry.devcluster.clock import stamp_now
from tenantry.devcluster.managedfields import managed_fields
from tenantry.devcluster.manifests import Target

FINALIZER = "resources-finalizer.argocd.argoproj.io"
NAMESPACE = "argocd"


@dataclass
class Operation:
    """A sync, running or ended."""

    request: dict[str, Any]  # what was asked for: sync, initiatedBy, retry
    started: str
    phase: str = "Running"
    message: str = ""
    finished: str | None = None
    retries: int = 0
    result: dict[str, Any] | None = None  # resources, revision, source

    def document(self) -> dict[str, Any]:
        """status.operationState."""
        state: dict[str, Any] = {"operation": self.request, "phase": self.phase}
        if self.message:
            state["message"] = self.message
        if self.result is not None:
            state["syncResult"] = self.result
        state["startedAt"] = self.started
        if self.finished is not None:
            state["finishedAt"] = self.finished
        if self.retries:
            state["retryCount"] = self.retries
        return state


@dataclass
class Application:
    """Whoever changes one holds its `lock`, and then publishes its document."""

    name: str
    metadata: dict[str, Any]  # labels, annotations, finalizers, as the set's template says
    spec: dict[str, Any]
    set_name: str
    set_uid: str
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: str = field(default_factory=stamp_now)
    deleted: str | None = None  # when deletion was asked for
    gone: bool = False
    again: bool = False  # whether it is synced even if its commit was
    resource_version: int = 0
    generation: int = 0
    # comparison
    sync: str = ""
    revision: str = ""
    health: str | None = None
    health_since: str = ""
    resources: list[dict[str, Any]] = field(default_factory=list)
    conditions: list[dict[str, str]] = field(default_factory=list)
    reconciled: str | None = None
    source_type: str | None = None
    target: Target | None = field(default=None, repr=False)  # what was compared with
    # operation
    operation: Operation | None = None
    wanted_operation: dict[str, Any] | None = None  # the document's top-level `operation`
    history: list[dict[str, Any]] = field(default_factory=list)
    run: Iterator[float] | None = field(default=None, repr=False)
    turn: threading.Lock = field(default_factory=threading.Lock, repr=False)  # to compare it
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def project(self) -> str:
        return str(self.spec["project"])

    @property
    def namespace(self) -> str:
        """Where its objects go."""
        return str(self.spec["destination"]["namespace"])

    @property
    def source(self) -> dict[str, str]:
        source: dict[str, str] = self.spec["source"]
        return source

    @property
    def annotations(self) -> dict[str, str]:
        found: dict[str, str] = self.metadata.setdefault("annotations", {})
        return found

    @property
    def sync_policy(self) -> dict[str, Any]:
        return self.spec.get("syncPolicy") or {}

    def set_health(self, health: str) -> None:
        """Record the health; the time of change stays while it does."""
        if health != self.health:
            self.health, self.health_since = health, stamp_now()

    def set_condition(self, kind: str, message: str | None) -> None:
        """Have one condition of a kind, or none; its time stays while the message does."""
        known = [one for one in self.conditions if one["type"] == kind]
        if message is not None and any(one["message"] == message for one in known):
            return
        self.conditions = [one for one in self.conditions if one["type"] != kind]
        if message is not None:
            change = {"type": kind, "message": message, "lastTransitionTime": stamp_now()}
            self.conditions = sorted([*self.conditions, change], key=lambda one: one["type"])

    def document(self) -> dict[str, Any]:
        """The whole document, as GET answers it."""
        document = {"metadata": self._metadata(), "spec": self.spec, "status": self._status()}
        if self.wanted_operation is not None:
            document["operation"] = self.wanted_operation
        document["metadata"]["managedFields"] = managed_fields(document)
        return document

    def _metadata(self) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "name": self.name,
            "namespace": NAMESPACE,
            "uid": self.uid,
            "resourceVersion": str(self.resource_version),
            "generation": self.generation,
            "creationTimestamp": self.created,
        }
        if self.deleted is not None:
            metadata |= {"deletionTimestamp": self.deleted, "deletionGracePeriodSeconds": 0}
        for member in ("labels", "annotations"):
            if self.metadata.get(member):
                metadata[member] = dict(self.metadata[member])
        metadata["ownerReferences"] = [
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "ApplicationSet",
                "name": self.set_name,
                "uid": self.set_uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]
        if self.metadata.get("finalizers"):
            metadata["finalizers"] = list(self.metadata["finalizers"])
        return metadata

    def _status(self) -> dict[str, Any]:
        if self.reconciled is None and self.operation is None:
            return {**_NO_STATUS, "sync": dict(_NO_SYNC)}
        status: dict[str, Any] = {}
        if self.resources:
            status["resources"] = self.resources
        status["sync"] = self._sync_status()
        status["health"] = self._health_status()
        if self.history:
            status["history"] = list(self.history)
        if self.conditions:
            status["conditions"] = list(self.conditions)
        if self.reconciled is not None:
            status["reconciledAt"] = self.reconciled
        if self.operation is not None:
            status["operationState"] = self.operation.document()
        if self.source_type is not None:
            status["sourceType"] = self.source_type
        return {
            **status,
            "summary": {},
            "resourceHealthSource": "appTree",
            "controllerNamespace": NAMESPACE,
            "sourceHydrator": {},
        }

    def _sync_status(self) -> dict[str, Any]:
        compared = {"source": dict(self.source), "destination": dict(self.spec["destination"])}
        return {"status": self.sync, "comparedTo": compared, "revision": self.revision}

    def _health_status(self) -> dict[str, str]:
        if self.health is None:
            return {}
        return {"status": self.health, "lastTransitionTime": self.health_since}


_NO_SYNC = {"status": "", "comparedTo": {"source": {"repoURL": ""}, "destination": {}}}
_NO_STATUS: dict[str, Any] = {"sync": _NO_SYNC, "health": {}, "summary": {}, "sourceHydrator": {}}

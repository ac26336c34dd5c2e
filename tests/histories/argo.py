"""An Argo CD with one Application, as slow and as forgetful as the real one (`FACTS` in short: the
old green state stands until a comparison, a failing sync is Running, a failed one stands for good).
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.histories.cluster import REFUSED, UNBUILDABLE, Cluster, Content, Git

BEGINNING = datetime(2026, 11, 22, 12, tzinfo=UTC)
RETRIES = 5


@dataclass(frozen=True)
class Truth:
    """What was so when the Application was last compared, and of its operation when it was read."""

    exists: bool = False
    removing: bool = False
    head: Content | None = None
    spec: Content | None = None
    running: Content | None = None
    is_well: bool = False
    operating: bool = False
    failed: Content | None = None  # what the last operation could not apply


@dataclass
class App:
    uid: str
    deleting: bool = False
    lingers: int = 4  # steps of its removal, before which all still looks well
    revision: str = ""
    sync: str = ""
    health: str = ""
    reconciled: int | None = None
    error: str = ""
    requested: bool = False
    phase: str = ""
    applied: str = ""
    finished: int | None = None
    retries: int = 0
    compared: Truth = field(default_factory=Truth)


@dataclass(frozen=True)
class Glimpse:
    """An Application as the API gave it at one moment (None: there is none), and the truth then."""

    app: App | None
    truth: Truth

    @property
    def body(self) -> dict[str, Any] | None:
        return _document(self.app) if self.app else None


@dataclass
class Argo:
    git: Git
    cluster: Cluster
    app: App | None = None
    made: int = 0

    def generate(self) -> None:
        """The ApplicationSet's part."""
        if self.app is None and self.git.head:
            self.made += 1
            self.app = App(uid=f"uid-{self.made}")

    def work(self, now: int) -> None:
        """One step of the controller: the operation's, or a removal's."""
        app = self.app
        if app is None:
            self.generate()
        elif app.deleting:
            self._remove(app)
        elif app.requested:
            app.requested, app.phase, app.finished, app.retries = False, "Running", None, 0
            app.applied = self.git.head
        elif app.phase == "Running":
            self._operate(app, now)
        else:
            self.compare(now)

    def _remove(self, app: App) -> None:
        app.lingers -= 1
        if app.lingers <= 0:
            self.cluster.remove()
            self.app = None

    def _operate(self, app: App, now: int) -> None:
        content = self.git.contents[app.applied]
        if content.kind in (REFUSED, UNBUILDABLE):
            app.finished, app.retries = now, app.retries + 1
            if app.retries > RETRIES:
                app.phase, app.error = "Failed", "SyncError"
            else:
                app.applied = self.git.head
        elif self.cluster.spec != content or app.finished is not None:
            app.finished = None
            self.cluster.apply(content)
            self.compare(now)  # in the middle: statuses are still about what was before
        else:
            app.phase, app.finished = "Succeeded", now

    def compare(self, now: int) -> None:
        app = self.app
        if app is None or app.deleting:
            return
        head, cluster = self.git.at_head, self.cluster
        app.reconciled = now
        app.compared = Truth(
            head=head, spec=cluster.spec, running=cluster.running, is_well=cluster.is_well
        )
        app.health = cluster.health
        if head.kind == UNBUILDABLE:
            app.sync, app.error = "Unknown", "ComparisonError"
            app.revision = app.revision or "refs/heads/main"
            return
        app.revision, app.error = self.git.head, ""
        app.sync = "Synced" if cluster.spec == head else "OutOfSync"
        failed_here = app.phase == "Failed" and app.applied == self.git.head
        if app.sync == "OutOfSync" and not self.operating and not failed_here:
            app.requested = True

    @property
    def operating(self) -> bool:
        return self.app is not None and (self.app.requested or self.app.phase == "Running")

    def ask_sync(self) -> None:
        if self.app and not self.app.deleting and not self.operating:
            self.app.requested = True

    def forget(self) -> None:
        """A restart with empty caches: the status is gone until it is computed again."""
        if self.app:
            self.app = App(self.app.uid, deleting=self.app.deleting)

    def recreate(self) -> None:
        """Under the same name, and what ran went with the other one."""
        self.app = None
        self.cluster.remove()
        self.generate()

    def delete(self) -> None:
        if self.app:
            self.app.deleting = True

    def read(self) -> Glimpse:
        if self.app is None:
            return Glimpse(None, Truth())
        app = copy(self.app)
        truth = replace(
            app.compared,
            exists=True,
            removing=app.deleting,
            operating=self.operating,
            failed=self.git.contents[app.applied] if app.phase == "Failed" else None,
        )
        return Glimpse(app, truth)


def _document(app: App) -> dict[str, Any]:
    metadata = {"name": "customer-x", "uid": app.uid}
    if app.deleting:
        metadata["deletionTimestamp"] = _time(0)
    status: dict[str, Any] = {
        "sync": {"status": app.sync, "revision": app.revision},
        "health": {"status": app.health},
        "conditions": [{"type": app.error, "message": "why"}] if app.error else [],
    }
    if app.reconciled is not None:
        status["reconciledAt"] = _time(app.reconciled)
    if app.phase:
        status["operationState"] = _operation(app)
    body: dict[str, Any] = {"metadata": metadata, "status": status}
    return body | ({"operation": {"sync": {}}} if app.requested else {})


def _operation(app: App) -> dict[str, Any]:
    told: dict[str, Any] = {
        "phase": app.phase,
        "retryCount": app.retries,
        "syncResult": {"revision": app.applied},
    }
    return told | ({"finishedAt": _time(app.finished)} if app.finished is not None else {})


def _time(second: int) -> str:
    return (BEGINNING + timedelta(seconds=second)).isoformat()

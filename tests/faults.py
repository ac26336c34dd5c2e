"""Every adapter of a service, going wrong at one call that a test chooses.

A `Life` is one process from its start to its death: it counts the calls that the process makes of
its adapters, by step and number, and at one of them lets a fault happen. Nothing of the product is
changed: `live` builds a service whose adapters are the real ones behind plain proxies.

A kill is `Died`, which nothing catches, and after it no adapter of that process answers any more,
so that what a `finally` would still do is not done, as after SIGKILL.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import event
from sqlalchemy.orm import Session

from tenantry.adapters.argocd import ArgoCD
from tenantry.adapters.database.lease import Lease
from tenantry.adapters.database.session import Database
from tenantry.adapters.git import TenantsRepository
from tenantry.adapters.mail import Mailbox
from tenantry.adapters.probe import Probed
from tenantry.adapters.seal import Kubeseal
from tenantry.core.errors import (
    ArgoError,
    ArgoUnreachable,
    DatabaseUnavailable,
    MailError,
    ProgramStopped,
    ProgramTimeout,
    PushRefused,
    PushRejected,
    RepositoryError,
    SealingError,
    TenantryError,
)
from tenantry.flows.class_check import ClassChecker
from tenantry.flows.service import Cell, Service

Result = TypeVar("Result")
HEARTBEAT = "heartbeat"  # the lease's thread: neither counted nor faulted


class Died(BaseException):
    """The process was killed."""


class Kind(StrEnum):
    """What goes wrong at a call."""

    DIE_BEFORE = "die before"
    DIE_AFTER = "die after"
    FAIL_BEFORE = "error, nothing done"
    FAIL_AFTER = "done, but reported failed"
    HANG_BEFORE = "deadline, nothing done"
    HANG_AFTER = "deadline, but done"
    SLOW = "done late"
    TOLD_LATE = "done, and told late"


AFTER = frozenset({Kind.DIE_AFTER, Kind.FAIL_AFTER, Kind.HANG_AFTER, Kind.TOLD_LATE})
DEATHS = frozenset({Kind.DIE_BEFORE, Kind.DIE_AFTER})
HANGS = frozenset({Kind.HANG_BEFORE, Kind.HANG_AFTER})
LATE = frozenset({Kind.SLOW, Kind.TOLD_LATE})

# The adapter's own errors, by step or by adapter: how it fails, and how its deadline reads.
_OF_DATABASE = DatabaseUnavailable("the database failed: server closed the connection")
_OF_GIT = RepositoryError("the connection was lost")
_OF_ARGOCD = ArgoUnreachable("connection refused")
FAILURES: Mapping[str, Sequence[TenantryError]] = {
    "database": [_OF_DATABASE],
    "repository": [_OF_GIT],
    "repository.push": [_OF_GIT, PushRejected("fetch first"), PushRefused("hook declined")],
    "kubeseal": [SealingError("kubeseal: killed")],
    "checker": [ProgramStopped("kustomize was ended by signal 9")],
    "argocd": [_OF_ARGOCD, ArgoError("Argo CD answered 502")],
    "announce": [_OF_ARGOCD],
    "probe": [ArgoError("not answering")],  # never raised: `_Probe` makes an answer of it
    "mailbox": [MailError("the disk is full")],
}
DEADLINES: Mapping[str, TenantryError] = {
    "database": DatabaseUnavailable("the database failed: QueuePool limit reached"),
    "repository": RepositoryError("git did not end within 60 s"),
    "kubeseal": ProgramTimeout("kubeseal did not end within 60 s"),
    "checker": ProgramTimeout("kustomize did not end within 30 s"),
    "argocd": ArgoUnreachable("no answer in time"),
    "announce": ArgoUnreachable("no answer in time"),
    "probe": ArgoError("no answer in time"),
    "mailbox": MailError("the mail server did not answer in time"),
}
# Steps that leave something behind; all others only look.
CHANGING = frozenset({
    "database.commit", "repository.fetch", "repository.build", "repository.push", "repository.move",
    "kubeseal.seal", "argocd.refresh", "announce", "mailbox.send",
})  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and at which call: the `nth` (from 1) of a step such as `repository.push`.

    `error` replaces the adapter's own; `meanwhile` is what happens while a slow call lasts.
    """

    step: str
    nth: int
    kind: Kind
    error: TenantryError | None = None
    meanwhile: Callable[[], object] = lambda: None

    def __str__(self) -> str:
        said = f" ({type(self.error).__name__})" if self.error else ""
        return f"{self.kind}{said} at {self.step} number {self.nth}"

    @property
    def is_after(self) -> bool:
        """Whether the call has done its work when this happens."""
        return self.kind in AFTER

    def failure(self) -> TenantryError:
        """A fresh copy of the error that the caller sees."""
        adapter = self.step.partition(".")[0]
        own = DEADLINES[adapter] if self.kind in HANGS else failures(self.step)[0]
        error = self.error or own
        return type(error)(error.message)


def failures(step: str) -> Sequence[TenantryError]:
    """All ways in which the step's adapter says that it failed."""
    return FAILURES.get(step, FAILURES[step.partition(".")[0]])


def faults_at(step: str, nth: int, kind: Kind, meanwhile: Callable[[], object]) -> Iterator[Fault]:
    """Every fault of this kind at a call that is another case than those at other calls."""
    if not _is_another_case(step, kind):
        return
    deadline = DEADLINES[step.partition(".")[0]]
    if kind in DEATHS | LATE:
        yield Fault(step, nth, kind, meanwhile=meanwhile)
    elif kind not in HANGS:
        yield from (Fault(step, nth, kind, error) for error in failures(step))
    elif type(deadline) not in map(type, failures(step)):  # many read like other failures
        yield Fault(step, nth, kind, deadline)


def _is_another_case(step: str, kind: Kind) -> bool:
    """A call that changes nothing fails the same before and after, and death there is death after
    the last one that did change something. Any end of a transaction but death in the middle of it
    is tried at its commit. Between two reads, and in a transaction, others are not let in here.
    """
    if step == "database.statement":
        return kind is Kind.DIE_BEFORE
    if kind is Kind.SLOW:
        return step not in ("database.read", "database.commit")
    if kind is Kind.TOLD_LATE:
        return step == "repository.push"  # after any other, it is before the next
    if kind in AFTER | DEATHS:
        return step in CHANGING and (step, kind) != ("database.commit", Kind.DIE_BEFORE)
    return step != "database.begin"


@dataclass
class Life:
    """One process: the calls it made so far, and the fault that is in store for it."""

    fault: Fault | None = None
    calls: list[tuple[str, int]] = field(default_factory=list)
    has_happened: bool = False
    is_over: bool = False
    _numbers: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, step: str, real: Callable[[], Result]) -> Result:
        """The real call, unless the fault comes before it; then what is to happen after it."""
        number = self.before(step)
        result = real()
        self.after(step, number)
        return result

    def before(self, step: str) -> int:
        """Count a call that is about to be made; its number among those of the step."""
        self.require_alive()
        with self._lock:
            self._numbers[step] += 1
            number = self._numbers[step]
            self.calls.append((step, number))
        self._meet(step, number, is_after=False)
        return number

    def after(self, step: str, number: int) -> None:
        """The call was made."""
        self.require_alive()
        self._meet(step, number, is_after=True)

    def require_alive(self) -> None:
        """Died, where the process has died already."""
        if self.is_over:
            raise Died

    def _meet(self, step: str, number: int, *, is_after: bool) -> None:
        fault = self.fault
        if fault is None or (fault.step, fault.nth) != (step, number):
            return
        if fault.is_after != is_after:
            return
        self.has_happened = True
        if fault.kind in DEATHS:
            self.is_over = True
            raise Died
        if fault.kind in LATE:
            fault.meanwhile()
            return
        raise fault.failure()


def live(service: Service, life: Life, *, clones: Path) -> Service:
    """The service as a process of its own has it, on the same data: own transactions, leases and
    clones (in the folder `clones`), its adapters failing as `life` has it.
    """
    database = cast(Database, _Database(service.database, life))
    return replace(
        service,
        database=database,
        kubeseal=cast(Kubeseal, _Proxy(service.kubeseal, life, "kubeseal", ["seal"])),
        mailbox=cast(Mailbox, _Proxy(service.mailbox, life, "mailbox", ["send"])),
        cells={name: _cell(cell, database, life, clones) for name, cell in service.cells.items()},
    )


def _cell(cell: Cell, database: Database, life: Life, clones: Path) -> Cell:
    repository = TenantsRepository(cell.repository.url, clones / f"{cell.name}.git")
    return replace(
        cell,
        repository=cast(TenantsRepository, _Proxy(repository, life, "repository", _OF_REPOSITORY)),
        lease=Lease(database, f"publisher/{cell.name}"),
        checker=cast(ClassChecker, _Proxy(cell.checker, life, "checker", ["verify"])),
        argocd=_argocd(cell.argocd, life) if cell.argocd else None,
        announce=_function(cell.announce, life, "announce") if cell.announce else None,
        probe=_Probe(cell.probe, life),
    )


def _argocd(real: ArgoCD, life: Life) -> ArgoCD:
    return cast(ArgoCD, _Proxy(real, life, "argocd", ["list", "get", "refresh"]))


_OF_REPOSITORY = [name for name in vars(TenantsRepository) if not name.startswith("_")]


def _function(real: Callable[..., Result], life: Life, step: str) -> Callable[..., Result]:
    def call(*arguments: Any, **options: Any) -> Result:
        return life.call(step, lambda: real(*arguments, **options))

    return call


class _Proxy:
    """An adapter: the methods that are steps go by `life`, everything else is the real one's."""

    def __init__(self, real: object, life: Life, name: str, steps: Sequence[str]) -> None:
        self._real = real
        for step in steps:
            setattr(self, step, _function(getattr(real, step), life, f"{name}.{step}"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class _Probe:
    """A probe does not raise: what goes wrong is an answer."""

    def __init__(self, real: Callable[[str], Probed], life: Life) -> None:
        self._probe = _function(real, life, "probe")

    def __call__(self, url: str) -> Probed:
        try:
            return self._probe(url)
        except ArgoError as error:
            return Probed(ok=False, reason=str(error))


class _Database:
    """A database whose transactions may fail to begin, or to be committed."""

    def __init__(self, real: Database, life: Life) -> None:
        self._real = real
        self._life = life

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    @contextmanager
    def read(self) -> Iterator[Session]:
        if self._is_heartbeat():
            with self._real.read() as session:
                yield session
            return
        number = self._life.before("database.read")
        with self._real.read() as session:
            yield session
        self._life.after("database.read", number)

    @contextmanager
    def write(self) -> Iterator[Session]:
        if self._is_heartbeat():
            with self._real.write() as session:
                yield session
            return
        self._life.after("database.begin", self._life.before("database.begin"))
        with self._real.write() as session:
            event.listen(session.connection(), "before_cursor_execute", self._count_statement)
            yield session
            number = self._life.before("database.commit")
        self._life.after("database.commit", number)

    def _count_statement(self, *_: object) -> None:
        """In the middle of a transaction: some of it is written, and not for long."""
        self._life.after("database.statement", self._life.before("database.statement"))

    def _is_heartbeat(self) -> bool:
        if threading.current_thread().name != HEARTBEAT:
            return False
        if self._life.is_over:
            raise DatabaseUnavailable  # the thread is dead, too; only nobody can stop it
        return True

"""How publishing to a cell's repository fares, and what an operator decides about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from tenantry.adapters.database.session import upsert
from tenantry.adapters.database.tables import Repository, Tenant
from tenantry.core.errors import RepositoryError
from tenantry.core.finding import Finding, Kind
from tenantry.flows.audit_rows import audited
from tenantry.flows.publishing import history, retry
from tenantry.flows.rows import IS_BEHIND
from tenantry.flows.service import Cell, Service


@dataclass(frozen=True)
class RepositoryStatus:
    """What is known of a cell's repository without asking its server."""

    cell: str
    head: str | None  # as last seen
    behind: int  # tenants
    set_aside: int
    halted: str | None
    attempts: int
    retry_at: datetime | None
    last_error: str | None
    lease_holder: str | None


def read_status(service: Service, cell: Cell) -> RepositoryStatus:
    """As the database has it."""
    here = select(func.count()).select_from(Tenant).where(Tenant.cell == cell.name)
    holder = cell.lease.holder()
    with service.database.read() as session:
        row = retry.read_repository(session, cell)
        return RepositoryStatus(
            cell=cell.name,
            head=row.head,
            behind=session.scalar(here.where(IS_BEHIND)) or 0,
            set_aside=session.scalar(here.where(Tenant.set_aside.is_not(None))) or 0,
            halted=row.halted,
            attempts=row.attempts,
            retry_at=row.retry_at,
            last_error=row.last_error,
            lease_holder=holder,
        )


@dataclass(frozen=True)
class Heads:
    """Where main was when it was last published to, and where it is now."""

    known: str | None
    now: str | None
    is_halted: bool
    is_rewritten: bool


def read_heads(service: Service, cell: Cell) -> Heads:
    """Both, after a fetch. RepositoryError where the remote cannot be read."""
    with service.database.read() as session:  # before the fetch: others may publish after it
        row = retry.read_repository(session, cell)
    return _compare(cell, row, cell.repository.fetch())


def find_rewritten(heads: Heads) -> Iterator[Finding]:
    """The finding that main is not the one that was published to, where it is so."""
    if heads.is_halted or heads.is_rewritten:
        message = f"main was at {heads.known} and is at {heads.now or 'nothing'}"
        message += "; nothing is published" if heads.is_halted else ""
        yield Finding(Kind.HISTORY_REWRITTEN, message, history.ACCEPT)


def accept_history(
    service: Service, cell: Cell, *, head: str | None, actor: str, now: datetime
) -> None:
    """Publish on top of `head` from now on, whatever was there before. RepositoryError where main
    is not at `head`: then nothing changed.
    """
    found = cell.repository.fetch()
    if found != head:
        raise RepositoryError(
            f"main of cell {cell.name} is at {found or 'nothing'} by now", remedy="look again"
        )
    with service.database.write() as session:
        known = retry.read_repository(session, cell).head
        row = {"cell": cell.name, "head": head, "halted": None, "attempts": 0}
        upsert(session, Repository, [row | {"retry_at": None, "last_error": None}])
        details = {"cell": cell.name, "known": known, "head": head}
        session.add(audited("repository.history_accepted", actor=actor, now=now, **details))


def _compare(cell: Cell, row: Repository, head: str | None) -> Heads:
    rewritten = history.is_rewritten(cell, row.head, head)
    return Heads(row.head, head, row.halted is not None, rewritten)

"""How failures are remembered, in the database, since all workers must wait alike.

A failure is one tenant's (nobody else waits for it) or the repository's (all tenants wait). Both
are tried again later each time, and cleared by what succeeds.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from tenantry.adapters.database.session import upsert
from tenantry.adapters.database.tables import Repository, Tenant
from tenantry.core.backoff import Backoff
from tenantry.core.errors import HistoryRewritten, PushRefused, TenantryError
from tenantry.flows.rows import IS_DUE, in_order, lock
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()
OF_REPOSITORY = Backoff(first=timedelta(seconds=0.5), longest=timedelta(seconds=15))
OF_TENANT = Backoff(first=timedelta(seconds=2), longest=timedelta(minutes=5))


def may_try(
    retry_at: InstrumentedAttribute[datetime | None], backoff: Backoff, now: datetime
) -> ColumnElement[bool]:
    """`Backoff.is_over` in SQL."""
    waits = and_(retry_at > now, retry_at <= now + backoff.longest)
    return or_(retry_at.is_(None), ~waits)


def forget(tenant: Tenant) -> None:
    """Let the tenant's failures count no longer."""
    tenant.attempts, tenant.retry_at, tenant.last_error = 0, None, None


def read_repository(session: Session, cell: Cell) -> Repository:
    """How the cell's repository fares."""
    return session.get(Repository, cell.name) or Repository(cell=cell.name, attempts=0)


def postpone_repository(service: Service, cell: Cell, error: TenantryError) -> float:
    """Let all workers wait before they turn to the repository again; how long, in seconds. What
    trying again cannot mend waits longest; a rewritten history waits for an operator.
    """
    now = service.now()
    with service.database.write() as session:
        attempts = read_repository(session, cell).attempts + 1
        draw = random.random()  # noqa: S311 - no secret
        wait = OF_REPOSITORY.wait(attempts, draw)
        if error.permanent:
            wait = OF_REPOSITORY.longest_wait(draw)
        row = {"cell": cell.name, "attempts": attempts, "retry_at": now + wait}
        row["last_error"] = str(error)
        if isinstance(error, HistoryRewritten):
            row["halted"] = str(error)
        upsert(session, Repository, [row])
    return wait.total_seconds()


def postpone_tenants(service: Service, errors: Mapping[str, str]) -> None:
    """Let these tenants wait, by customer id with the reason; nobody else waits for them."""
    if not errors:
        return
    now = service.now()
    with service.database.write() as session:
        rows = in_order(select(Tenant.customer_id, Tenant.attempts).where(IS_DUE), errors)
        for customer_id, attempts in session.execute(rows).all():
            wait = OF_TENANT.wait(attempts + 1, random.random())  # noqa: S311 - no secret
            row = update(Tenant).where(Tenant.customer_id == customer_id)
            failed = {"attempts": attempts + 1, "last_error": errors[customer_id]}
            session.execute(row.values(**failed, retry_at=now + wait))
            log.warning("tenant.postponed", customer_id=customer_id, detail=errors[customer_id])


def postpone_bulk(service: Service, cell: Cell, refusal: PushRefused) -> None:
    """Let all of the cell's tenants wait that are due with many others, and no signup: whether the
    server minds them or takes nothing is not known. Those that wait for their own sake do so for
    longer, so that the next batch begins with others.
    """
    now = service.now()
    bulk = (IS_DUE, Tenant.cell == cell.name, Tenant.is_bulk)
    waiting = (*bulk, may_try(Tenant.retry_at, OF_TENANT, now))
    with service.database.write() as session:
        session.execute(lock(select(Tenant.customer_id).where(*bulk)))
        attempts = (session.scalar(select(func.max(Tenant.attempts)).where(*waiting)) or 0) + 1
        wait = OF_REPOSITORY.wait(attempts, random.random())  # noqa: S311 - no secret
        rows = update(Tenant).where(*waiting)
        session.execute(rows.values(attempts=Tenant.attempts + 1, retry_at=now + wait))
        log.warning("bulk.postponed", cell=cell.name, detail=str(refusal))

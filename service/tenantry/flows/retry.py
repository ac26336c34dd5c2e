"""How failures are remembered, in the database, since all workers must wait alike.

A failure is one tenant's (nobody else waits for it) or the repository's (all tenants wait). Both
are tried again later each time, and cleared by what succeeds.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import Session

from tenantry.adapters.database.session import upsert
from tenantry.adapters.database.tables import Repository, Tenant
from tenantry.core.backoff import Backoff
from tenantry.core.errors import HistoryRewritten, TenantryError
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()
OF_REPOSITORY = Backoff(first=timedelta(seconds=0.5), longest=timedelta(seconds=15))
OF_TENANT = Backoff(first=timedelta(seconds=2), longest=timedelta(minutes=5))


def may_try(tenant: type[Tenant], now: datetime) -> ColumnElement[bool]:
    """The condition that a tenant's own wait is over; `Backoff.is_over` in SQL."""
    waits = and_(tenant.retry_at > now, tenant.retry_at <= now + OF_TENANT.longest)
    return or_(tenant.retry_at.is_(None), ~waits)


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
        wait = OF_REPOSITORY.wait(30 if error.permanent else attempts, random.random())  # noqa: S311
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
        rows = select(Tenant.customer_id, Tenant.attempts).where(Tenant.customer_id.in_(errors))
        for customer_id, attempts in session.execute(rows.order_by(Tenant.customer_id)).all():
            wait = OF_TENANT.wait(attempts + 1, random.random())  # noqa: S311 - no secret
            row = update(Tenant).where(Tenant.customer_id == customer_id)
            failed = {"attempts": attempts + 1, "last_error": errors[customer_id]}
            session.execute(row.values(**failed, retry_at=now + wait))
            log.warning("tenant.postponed", customer_id=customer_id, detail=errors[customer_id])

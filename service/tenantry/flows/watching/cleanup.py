"""What becomes of a first deployment that failed: by policy it is kept, or suspended after a while
so that it uses nothing (R43). Its data, and what can be looked at in Git, stay.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlalchemy import select

from tenantry.adapters.database.tables import Change, Tenant
from tenantry.core.errors import TenantryError
from tenantry.core.model import State, Status
from tenantry.core.review import ChangeKind
from tenantry.flows.reviewing.changes import request_change
from tenantry.flows.rows import IS_BEHIND
from tenantry.flows.service import Service

log = structlog.get_logger()
ACTOR = "cleanup"
AT_ONCE = 100


def suspend_failed(service: Service, *, now: datetime) -> int:
    """Suspend first deployments that have been failed for long enough; how many."""
    return sum(_suspend(service, *each) for each in _read_failed(service, now))


def _read_failed(service: Service, now: datetime) -> list[tuple[str, str]]:
    """Cell and customer of each that is not suspended, or about to be, yet."""
    kept = service.patience.failed_kept
    if kept is None:
        return []
    asked = select(Change.id).where(  # a reviewer may have declined it: asked once for a failure
        Change.customer_id == Tenant.customer_id,
        Change.actor == ACTOR,
        Change.created_at >= Tenant.status_since,
    )
    failed = select(Tenant.cell, Tenant.customer_id).where(
        Tenant.cell.in_(list(service.cells)),
        Tenant.status == Status.FAILED,
        Tenant.status_since <= now - kept,
        ~IS_BEHIND,
        Tenant.approved["state"].as_string() == State.ACTIVE.value,
        ~asked.exists(),
    )
    with service.database.read() as session:
        rows = session.execute(failed.order_by(Tenant.status_since).limit(AT_ONCE))
        return [(row.cell, row.customer_id) for row in rows]


def _suspend(service: Service, cell: str, customer_id: str) -> bool:
    fields = {"state": State.SUSPENDED.value}
    try:
        request_change(
            service, service.cells[cell], customer_id, ChangeKind.STATE, fields, actor=ACTOR
        )
    except TenantryError as error:
        log.warning("cleanup.refused", customer_id=customer_id, detail=str(error))
        return False
    log.info("cleanup.suspended", customer_id=customer_id)
    return True

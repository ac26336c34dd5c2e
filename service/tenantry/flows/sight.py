"""What is told beside a status, never instead of it: since when a tenant cannot be seen, and that
it takes too long (R42, R43).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Deployment, Tenant, Watch
from tenantry.core.model import Status
from tenantry.flows.accounts.waiting import is_waiting
from tenantry.flows.service import Service

PATIENCE = timedelta(seconds=10)  # before it is told: what passes at once unsettles for nothing


def blind_cells(service: Service, session: Session, now: datetime) -> dict[str, datetime]:
    """The cells whose Argo CD cannot be seen, and since when. A cell without one, or that nobody
    has looked at yet, is none of them.
    """
    watched = [cell.name for cell in service.cells.values() if cell.argocd]
    silence = service.patience.silence
    found: dict[str, datetime] = {}
    for watch in session.scalars(select(Watch).where(Watch.cell.in_(watched))):
        is_silent = watch.seen_at is not None and now - watch.seen_at > silence
        since = _earliest(watch.failing_since, watch.seen_at if is_silent else None)
        if since:
            found[watch.cell] = since
    return found


def unknown_since(
    service: Service, tenant: Tenant, blind: dict[str, datetime], now: datetime
) -> datetime | None:
    """Since when it is not known what runs; None where it is, or where nothing can run yet."""
    cell = service.cells.get(tenant.cell)
    if cell is None or cell.argocd is None or tenant.published_generation == 0:
        return None
    since = _earliest(tenant.unknown_since, blind.get(tenant.cell))
    return since if since and now - since > PATIENCE else None


def is_late(tenant: Tenant, latest: Deployment, ready_within: timedelta, now: datetime) -> bool:
    """Whether the tenant's latest deployment is on its way for longer than that. Time in which it
    waits for a person does not count.
    """
    if is_waiting(tenant):
        return False
    if latest.outcome or tenant.status in (Status.AWAITING_REVIEW, Status.FAILED):
        return False
    return now - (latest.published_at or latest.wanted_at) > ready_within


def _earliest(*times: datetime | None) -> datetime | None:
    return min((each for each in times if each), default=None)

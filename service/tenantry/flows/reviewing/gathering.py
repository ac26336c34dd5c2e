"""Which branch a signup under review waits on: one of its own, or one for several."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from tenantry.adapters.database.tables import Change, Tenant
from tenantry.core.review import BRANCHES, ChangeKind, branch_of
from tenantry.flows.reviewing.waiting import open_review
from tenantry.flows.rows import locked
from tenantry.flows.service import Cell, Service

SIGNUPS_AT_MOST = 50  # in one pull request: what a person reads at once


def gather_signups(service: Service, cell: Cell) -> None:
    """Choose the branches of the cell's signups that wait and have none."""
    now = service.now()
    rows = (
        select(Change.customer_id)
        .join(Tenant, Tenant.customer_id == Change.customer_id)
        .where(
            Tenant.cell == cell.name,
            Change.kind == ChangeKind.SIGNUP,
            Change.outcome.is_(None),
            Change.review_id.is_(None),
        )
        .order_by(Change.id)
    )
    with service.database.read() as session:
        ids = session.scalars(rows).all()
    size = SIGNUPS_AT_MOST if cell.policy.batches_signups else 1
    for start in range(0, len(ids), size):
        _gather(service, cell, ids[start : start + size], now)


def _gather(service: Service, cell: Cell, customer_ids: Sequence[str], now: datetime) -> None:
    with service.database.write() as session:
        tenants = locked(session, customer_ids)
        rows = select(Change).where(
            Change.customer_id.in_(customer_ids),
            Change.outcome.is_(None),
            Change.review_id.is_(None),
        )
        changes = session.scalars(rows.order_by(Change.id)).all()
        if not changes:
            return
        together = len(tenants) > 1
        first = changes[0]
        name = f"{BRANCHES}signups-{first.id}" if together else branch_of(first.customer_id)
        review = open_review(session, cell, name, now)
        for each in changes:
            each.review_id = review.id

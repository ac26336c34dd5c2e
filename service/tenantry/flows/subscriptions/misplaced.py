"""What was told of a subscription before its link came, and was laid to another customer for whom
the same payer pays. In the caller's transaction, with the tenants of all of them locked.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import BillingEvent, Change
from tenantry.core.review import ChangeKind
from tenantry.core.subscription import EventKind
from tenantry.flows.audit_rows import audited
from tenantry.flows.subscriptions.booking import BILLING
from tenantry.flows.subscriptions.following import ACTOR as LIFECYCLE

log = structlog.get_logger()


def who_else(
    session: Session, customer_id: str, subscriptions: Sequence[str], *, payer: str | None
) -> Sequence[str]:
    """Whose subscription it changed, though it is the customer's."""
    if not subscriptions:
        return []
    others = select(BillingEvent.customer_id).where(
        *_is_misplaced(customer_id, subscriptions, payer), BillingEvent.kind != EventKind.OTHER
    )
    return [found for found in session.scalars(others.distinct()) if found is not None]


def _is_misplaced(
    customer_id: str, subscriptions: Sequence[str], payer: str | None
) -> tuple[ColumnElement[bool], ...]:
    """Laid to others, but to none who has a link of their own to the same subscription."""
    is_named = BillingEvent.subscription.in_(subscriptions)
    linked = select(BillingEvent.customer_id).where(
        is_named, BillingEvent.kind == EventKind.LINKED, BillingEvent.customer_id.is_not(None)
    )
    return (
        is_named,
        BillingEvent.billing_customer == payer,
        BillingEvent.customer_id != customer_id,
        BillingEvent.customer_id.not_in(linked),
    )


def put_right(
    session: Session,
    customer_id: str,
    subscriptions: Sequence[str],
    *,
    payer: str | None,
    others: Sequence[str],
    now: datetime,
) -> dict[str, str]:
    """Lay it to the customer, with what was not understood. Returns what plan each of the others
    had before it, where nobody but it has asked for another since.
    """
    had = {each: plan for each in others if (plan := _plan_before(session, each, subscriptions))}
    rows = update(BillingEvent).where(*_is_misplaced(customer_id, subscriptions, payer))
    session.execute(rows.values(customer_id=customer_id))
    for other in others:
        details = {"of": customer_id, "plan": had.get(other)}
        log.warning("billing.put_right", customer_id=other, **details)
        session.add(audited("subscription.put_right", other, actor=BILLING, now=now, **details))
    return had


def _plan_before(session: Session, customer_id: str, subscriptions: Sequence[str]) -> str | None:
    """As the first change of plan since it came found it; None where there is none, or where
    somebody decided about the plan since.
    """
    came = select(func.min(BillingEvent.received_at)).where(
        BillingEvent.customer_id == customer_id,
        BillingEvent.subscription.in_(subscriptions),
        BillingEvent.kind != EventKind.OTHER,
    )
    rows = select(Change).where(
        Change.customer_id == customer_id,
        Change.kind == ChangeKind.PLAN,
        Change.created_at >= came.scalar_subquery(),
    )
    changes = session.scalars(rows.order_by(Change.id)).all()
    made = [each for each in changes if each.before]  # what waits, or never came, changed no plan
    if not made or any(each.actor not in (BILLING, LIFECYCLE) for each in changes):
        return None
    plan: str = made[0].before["plan"]
    return plan

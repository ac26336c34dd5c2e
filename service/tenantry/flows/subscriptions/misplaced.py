"""What was told of a subscription before its link came, and was laid to another customer for whom
the same payer pays. In the caller's transaction, with the tenants of all of them locked.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import BillingEvent
from tenantry.core.subscription import EventKind
from tenantry.flows.audit_rows import audited
from tenantry.flows.subscriptions.booking import BILLING

log = structlog.get_logger()


def who_else(
    session: Session, customer_id: str, subscriptions: Sequence[str], *, payer: str | None
) -> Sequence[str]:
    """To whom else it was laid: not to who has a link of their own to the same subscription."""
    if not subscriptions:
        return []
    is_named = BillingEvent.subscription.in_(subscriptions)
    linked = select(BillingEvent.customer_id).where(
        is_named, BillingEvent.kind == EventKind.LINKED, BillingEvent.customer_id.is_not(None)
    )
    others = select(BillingEvent.customer_id).where(
        is_named,
        BillingEvent.billing_customer == payer,
        BillingEvent.customer_id != customer_id,
        BillingEvent.customer_id.not_in(linked),
    )
    return [found for found in session.scalars(others.distinct()) if found is not None]


def put_right(
    session: Session,
    customer_id: str,
    subscriptions: Sequence[str],
    *,
    others: Sequence[str],
    now: datetime,
) -> None:
    """Lay it to the customer. The plan that another runs by it goes back to what was booked for
    them; where nothing was, it stays for people to decide.
    """
    rows = update(BillingEvent).where(
        BillingEvent.subscription.in_(subscriptions), BillingEvent.customer_id.in_(others)
    )
    session.execute(rows.values(customer_id=customer_id))
    for other in others:
        log.warning("billing.put_right", customer_id=other, of=customer_id)
        row = audited("subscription.put_right", other, actor=BILLING, now=now, of=customer_id)
        session.add(row)

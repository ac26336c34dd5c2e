"""Messages about payments name people, so what was kept for somebody to look at goes in the end;
kinds, plans and dates stay.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, null, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from tenantry.adapters.database.tables import BillingEvent

KEPT = timedelta(days=90)

_NOBODY = BillingEvent.customer_id.is_(None)
_HAS_NAME = or_(BillingEvent.billing_customer.is_not(None), BillingEvent.subscription.is_not(None))

# Of what was told and changed nothing, what somebody still can look at.
CAN_BE_SEEN = or_(BillingEvent.wrapped.is_not(None), and_(_NOBODY, _HAS_NAME))


def empty_old(session: Session, *, now: datetime, at_most: int) -> int:
    """Empty some messages that are too old, and the payment provider's names in those of customers
    whom nobody knows; how many.
    """
    old = (
        select(BillingEvent.id)
        .where(BillingEvent.received_at <= now - KEPT, CAN_BE_SEEN)
        .limit(at_most)
        .with_for_update(skip_locked=True)
    )
    emptied = update(BillingEvent).where(BillingEvent.id.in_(old))
    names = (BillingEvent.billing_customer, BillingEvent.subscription)
    values = {name.key: _unless_nobody(name) for name in names}
    done = emptied.values(wrapped=None, **values).returning(BillingEvent.id)
    return len(session.scalars(done.execution_options(synchronize_session=False)).all())


def _unless_nobody(name: InstrumentedAttribute[str | None]) -> ColumnElement[str | None]:
    return case((_NOBODY, null()), else_=name)

"""What customers decide about their own subscription: to cancel it, to keep it, their time zone."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import BillingEvent, Customer, Subscription, Tenant
from tenantry.core.days import in_zone
from tenantry.core.errors import TooManyAttempts
from tenantry.core.limits import Limit
from tenantry.core.signup import check_time_zone
from tenantry.core.subscription import Event, EventKind, add_up, position
from tenantry.flows.accounts.overview import may_cancel, may_resume
from tenantry.flows.audit_rows import audited
from tenantry.flows.limiting import Measure, count_attempt
from tenantry.flows.rows import locked
from tenantry.flows.service import Service
from tenantry.flows.subscriptions.booking import (
    CUSTOMER,
    keep,
    read_booking,
    told_by,
    told_of,
    trial_of,
)
from tenantry.flows.subscriptions.events import Told, tell
from tenantry.flows.subscriptions.following import follow

MOVES = Limit(3, timedelta(days=1))  # to another time zone: each may bring a license, so a commit
TAKEN_BACK = Limit(6, timedelta(days=1))  # cancellations: each next one is a mail, and rows


def cancel(service: Service, customer_id: str) -> bool:
    """Cancel the subscription; False where there is nothing to cancel, or nothing any more."""
    return _decide(service, customer_id, EventKind.CANCELLED)


def resume(service: Service, customer_id: str) -> bool:
    """Take a cancellation back; False where there is none, or what was cancelled has ended.
    TooManyAttempts where that was done often today.
    """
    return _decide(service, customer_id, EventKind.RESUMED)


def _decide(service: Service, customer_id: str, kind: EventKind) -> bool:
    """Its number makes of two clicks at once one event."""
    now = service.now()
    mine = select(func.count()).where(
        BillingEvent.customer_id == customer_id, BillingEvent.actor == CUSTOMER
    )
    with service.database.read() as session:
        number = session.scalar(mine)
        if not _may(service, session, customer_id, kind, now):
            return False
    if kind == EventKind.RESUMED:  # who cancels must always be able to
        taken_back = Measure("cancellation", customer_id, TAKEN_BACK)
        with service.database.write() as session:
            count_attempt(service, session, [taken_back], now=now, refusal=TooManyAttempts)
    event = Event(f"{CUSTOMER}:{customer_id}:{number}", kind, now)
    return tell(service, Told(event, f"{CUSTOMER}.{kind}", CUSTOMER, customer_id=customer_id))


def _may(
    service: Service, session: Session, customer_id: str, kind: EventKind, now: datetime
) -> bool:
    booking = read_booking(session, customer_id)
    if kind == EventKind.RESUMED:
        return may_resume(booking, told_by(session, customer_id, EventKind.CANCELLED), now)
    stage = position(booking, service.product, now).moment.stage
    return may_cancel(booking, stage, session.get_one(Tenant, customer_id))


def change_time_zone(service: Service, customer_id: str, time_zone: object) -> None:
    """From now on days end there. The trial's last day stays the same day; what has ended stays so.

    InvalidInput for an unknown zone, TooManyAttempts where it was changed often today.
    """
    zone = check_time_zone(time_zone)
    now = service.now()
    with service.database.write() as session:
        (tenant,) = locked(session, [customer_id])
        subscription = session.get_one(Subscription, customer_id, with_for_update=True)
        customer = session.get_one(Customer, customer_id)
        if customer.time_zone == zone:
            return
        moves = Measure("time zone", customer_id, MOVES)
        count_attempt(service, session, [moves], now=now, refusal=TooManyAttempts)
        # Without the zones: they are personal, and the audit outlives the customer.
        session.add(audited("customer.time_zone", customer_id, actor=CUSTOMER, now=now))
        _move(session, subscription, customer, zone, now)
        follow(service, session, tenant, subscription, customer, actor=CUSTOMER, now=now)


def _move(
    session: Session, subscription: Subscription, customer: Customer, to: str, now: datetime
) -> None:
    before = subscription.trial_ends_at
    if before > now:
        subscription.trial_ends_at = in_zone(before, customer.time_zone, to)
    customer.time_zone = to
    if subscription.ends_at is None or subscription.ends_at > now:
        told = told_of(session, customer.customer_id)
        keep(subscription, add_up(trial_of(subscription, customer), told))

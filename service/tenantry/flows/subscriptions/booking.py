"""A subscription's row as `core.subscription` reads it, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import BillingEvent, Customer, Subscription
from tenantry.core.subscription import Booking, Event, EventKind

BILLING, CUSTOMER, OPERATOR = "billing", "customer", "operator"  # who tells of a subscription


def read_booking(session: Session, customer_id: str) -> Booking:
    """A customer's booking as it stands."""
    subscription = session.get_one(Subscription, customer_id)
    return booking_of(subscription, session.get_one(Customer, customer_id))


def booking_of(subscription: Subscription, customer: Customer) -> Booking:
    """The booking as it stands."""
    return replace(
        trial_of(subscription, customer),
        paid_since=subscription.paid_since,
        paid_at=subscription.paid_at,
        paid_until=subscription.paid_until,
        past_due_since=subscription.past_due_since,
        cancelled_at=subscription.cancelled_at,
        ends_at=subscription.ends_at,
    )


def trial_of(subscription: Subscription, customer: Customer) -> Booking:
    """What it was before anything was told of it; its plan is the one that runs."""
    return Booking(
        started_at=subscription.created_at,
        time_zone=customer.time_zone,
        trial_ends_at=subscription.trial_ends_at,
        plan=subscription.plan,
    )


def told_of(session: Session, customer_id: str) -> Sequence[Event]:
    """What was told of the customer and understood, in no order."""
    rows = select(BillingEvent).where(
        BillingEvent.customer_id == customer_id, BillingEvent.kind != EventKind.OTHER
    )
    return [
        Event(
            row.external_id,
            EventKind(row.kind),
            row.at,
            row.plan,
            row.until,
            row.subscription,
            row.receipt,
        )
        for row in session.scalars(rows)
    ]


def told_by(session: Session, customer_id: str, kind: EventKind) -> str | None:
    """Who said the last thing of a kind about the customer's subscription; None: nobody did."""
    rows = select(BillingEvent.actor).where(
        BillingEvent.customer_id == customer_id, BillingEvent.kind == kind
    )
    return session.scalar(rows.order_by(BillingEvent.at.desc(), BillingEvent.id.desc()).limit(1))


def keep(subscription: Subscription, booking: Booking) -> None:
    """Write down what was added up. The plan is written when main is to show it."""
    subscription.paid_since = booking.paid_since
    subscription.paid_at = booking.paid_at
    subscription.paid_until = booking.paid_until
    subscription.past_due_since = booking.past_due_since
    subscription.cancelled_at = booking.cancelled_at
    subscription.ends_at = booking.ends_at

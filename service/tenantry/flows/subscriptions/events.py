"""Something is told of a subscription, and what the tenant should be follows at once: another plan
with its license and sizes, a paid license, active again, all of it one commit (R52).

Told again it changes nothing, and told late it takes its place among what happened before and
after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tenantry.adapters.database.session import insert_new
from tenantry.adapters.database.tables import Audit, BillingEvent, Customer, Subscription
from tenantry.core.mail import OF_SUBSCRIPTION, MailKind
from tenantry.core.subscription import Event, EventKind, add_up
from tenantry.flows import outbox
from tenantry.flows.rows import locked
from tenantry.flows.service import Service
from tenantry.flows.subscriptions.booking import keep, trial_of
from tenantry.flows.subscriptions.following import follow

log = structlog.get_logger()


@dataclass(frozen=True)
class Told:
    """An event as its source tells it. One of both customers is given: ours by its id, or by what
    the payment provider calls it. `wrapped` keeps a message that was not understood.
    """

    event: Event
    type: str
    actor: str
    customer_id: str | None = None
    billing_customer: str | None = None
    wrapped: bytes | None = None


def tell(service: Service, told: Told) -> bool:
    """Take up what was told; False where it was known. What names a customer who is not known yet
    is kept until it is: `LINKED` says who it is.
    """
    now = service.now()
    with service.database.write() as session:
        customer_id = _who(session, told)
        if not _keep(session, told, customer_id, now):
            return False
        if customer_id is None:
            log.warning("billing.nobody", event=told.event.id, type=told.type)
            return True
        _take_up(service, session, customer_id, told, now)
    log.info("billing.told", customer_id=customer_id, kind=told.event.kind, type=told.type)
    return True


def _who(session: Session, told: Told) -> str | None:
    if told.customer_id is not None:
        known = session.get(Customer, told.customer_id)
        return known.customer_id if known else None
    if told.billing_customer is None:
        return None
    theirs = Subscription.billing_customer == told.billing_customer
    return session.scalar(select(Subscription.customer_id).where(theirs))


def _keep(session: Session, told: Told, customer_id: str | None, now: datetime) -> bool:
    """Write the event down; False where it stands there already."""
    known = select(BillingEvent.id).where(BillingEvent.external_id == told.event.id)
    if session.scalar(known) is not None:
        return False
    row = {
        "external_id": told.event.id,
        "customer_id": customer_id,
        "billing_customer": told.billing_customer,
        "kind": told.event.kind,
        "type": told.type,
        "at": told.event.at,
        "received_at": now,
        "actor": told.actor,
        "plan": told.event.plan,
        "until": told.event.until,
        "wrapped": told.wrapped,
    }
    insert_new(session, BillingEvent, [row])
    return True


def _take_up(
    service: Service, session: Session, customer_id: str, told: Told, now: datetime
) -> None:
    (tenant,) = locked(session, [customer_id])
    subscription = session.get_one(Subscription, customer_id, with_for_update=True)
    customer = session.get_one(Customer, customer_id)
    known = [each for each in _events(session, customer_id) if each.id != told.event.id]
    if told.billing_customer and subscription.billing_customer is None:
        _link(session, subscription, told.billing_customer)
    events = _events(session, customer_id)
    session.add(_audit(customer_id, told, now))
    if events == known:
        return
    trial = trial_of(subscription, customer)
    before, after = add_up(trial, known), add_up(trial, events)
    keep(subscription, after)
    outbox.drop_unsent(session, customer_id, OF_SUBSCRIPTION, now=now)
    if told.event.kind == EventKind.PAID:
        _thank(session, customer_id, told.event, now)
    follow(
        service,
        session,
        tenant,
        subscription,
        customer,
        plan=after.plan if after.plan != before.plan else None,
        actor=told.actor,
        now=now,
    )


def _link(session: Session, subscription: Subscription, billing_customer: str) -> None:
    """From now on, and of what came before, we know whom the payment provider means."""
    subscription.billing_customer = billing_customer
    waiting = update(BillingEvent).where(
        BillingEvent.billing_customer == billing_customer, BillingEvent.customer_id.is_(None)
    )
    session.execute(waiting.values(customer_id=subscription.customer_id))


def _events(session: Session, customer_id: str) -> Sequence[Event]:
    """What was told of the customer and understood, in no order."""
    rows = select(BillingEvent).where(
        BillingEvent.customer_id == customer_id, BillingEvent.kind != EventKind.OTHER
    )
    return [
        Event(row.external_id, EventKind(row.kind), row.at, row.plan, row.until)
        for row in session.scalars(rows)
    ]


def _thank(session: Session, customer_id: str, event: Event, now: datetime) -> None:
    outbox.put(
        session,
        customer_id=customer_id,
        kind=MailKind.PAYMENT_RECEIVED,
        period=f"{event.at:%Y-%m-%dT%H:%M:%S}",
        now=now,
    )


def _audit(customer_id: str, told: Told, now: datetime) -> Audit:
    return Audit(
        at=now,
        actor=told.actor,
        action=f"subscription.{told.event.kind}",
        customer_id=customer_id,
        details={"event": told.event.id, "type": told.type, "plan": told.event.plan},
    )

"""Something is told of a subscription, and what the tenant should be follows at once: another plan
with its license and sizes, a paid license, active again, all of it one commit (R52).

Told again it changes nothing, and told late it takes its place among what happened before and
after it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from tenantry.adapters.database.session import insert_new, take_turns
from tenantry.adapters.database.tables import Audit, BillingEvent, Customer, Subscription, Tenant
from tenantry.core.mail import MailKind
from tenantry.core.subscription import Event, EventKind, add_up
from tenantry.flows import outbox
from tenantry.flows.audit_rows import audited
from tenantry.flows.rows import locked
from tenantry.flows.service import Service
from tenantry.flows.subscriptions.booking import BILLING, keep, told_of, trial_of
from tenantry.flows.subscriptions.following import follow
from tenantry.flows.subscriptions.misplaced import put_right, who_else

log = structlog.get_logger()


@dataclass(frozen=True)
class Told:
    """An event as its source tells it. It names our customer by its id, or by what the payment
    provider calls it; `LINKED` both. `wrapped` is the message, kept where it was not understood.
    """

    event: Event
    type: str
    actor: str
    customer_id: str | None = None
    billing_customer: str | None = None
    wrapped: bytes | None = None


def tell(service: Service, *told: Told) -> bool:
    """Take up what was told of one customer, all of it or nothing; False where it was known. What
    names a customer who is not known yet is kept until it is: `LINKED` says who it is.
    """
    now, first = service.now(), told[0]
    with service.database.write() as session:
        if first.billing_customer is not None:  # or what is kept for nobody misses its link
            take_turns(session, f"billing {first.billing_customer}")
        customer_id = _who(session, first)
        if customer_id is None:
            new = [each for each in told if _keep(session, each, None, now)]
        else:
            new = _tell(service, session, customer_id, told, now)
    for each in new:
        level = log.info if customer_id else log.warning
        level("billing.told", customer_id=customer_id, event_id=each.event.id, type=each.type)
    return bool(new)


def _tell(
    service: Service, session: Session, customer_id: str, told: Sequence[Told], now: datetime
) -> list[Told]:
    """What of it was new. Others whom it was laid to, before it was known to be of this customer,
    become what they are without.
    """
    links, payer = _linked(told), told[0].billing_customer
    others = who_else(session, customer_id, links, payer=payer)
    tenants = locked(session, [customer_id, *others])
    known = {each.customer_id: told_of(session, each.customer_id) for each in tenants}
    new = [each for each in told if _keep(session, each, customer_id, now)]
    had: dict[str, str] = {}
    if new and links:
        had = put_right(session, customer_id, links, payer=payer, others=others, now=now)
    for tenant in tenants if new else ():
        name = tenant.customer_id
        own = new if name == customer_id else []
        _reckon_anew(service, session, tenant, known[name], own, now, had=had.get(name))
    return new


def forget(session: Session, customer_id: str) -> None:
    """Empty what was told of whom the customer is to others; kinds, plans and dates stay. In the
    caller's transaction.
    """
    told = update(BillingEvent).where(BillingEvent.customer_id == customer_id)
    session.execute(
        told.values(billing_customer=None, subscription=None, receipt=None, wrapped=None)
    )


def _who(session: Session, told: Told) -> str | None:
    if told.customer_id is not None:
        known = select(Customer.customer_id).where(Customer.customer_id == told.customer_id)
        return session.scalar(known)
    own, payer = BillingEvent.subscription, BillingEvent.billing_customer
    # by its subscription first: one payer may pay for two of our customers
    for column, name in ((own, told.event.subscription), (payer, told.billing_customer)):
        links = _links().where(column == name).with_only_columns(BillingEvent.customer_id)
        if name is not None and (found := session.scalar(links.limit(1))) is not None:
            return found
    return None


def _links() -> Select[BillingEvent]:
    """Who is whom at the payment provider, the newest word first. Somebody who comes back may have
    another name there than before.
    """
    linked = select(BillingEvent).where(
        BillingEvent.kind == EventKind.LINKED, BillingEvent.customer_id.is_not(None)
    )
    return linked.order_by(BillingEvent.at.desc(), BillingEvent.external_id)


def _linked(told: Sequence[Told]) -> list[str]:
    """The subscriptions that the payment provider says are the customer's."""
    linked = (each.event for each in told if each.event.kind == EventKind.LINKED)
    return [event.subscription for event in linked if event.subscription]


def _keep(session: Session, told: Told, customer_id: str | None, now: datetime) -> bool:
    """Write the event down; False where it stands there already."""
    event = told.event
    known = select(BillingEvent.id).where(BillingEvent.external_id == event.id)
    if session.scalar(known) is not None:
        return False
    is_riddle = event.kind == EventKind.OTHER or (told.customer_id and not customer_id)
    row = {
        "external_id": event.id,
        "customer_id": customer_id,
        "billing_customer": told.billing_customer,
        "subscription": event.subscription,
        "receipt": event.receipt,
        "kind": event.kind,
        "type": told.type,
        "at": event.at,
        "received_at": now,
        "actor": told.actor,
        "plan": event.plan,
        "until": event.until,
        "wrapped": told.wrapped if is_riddle else None,
    }
    insert_new(session, BillingEvent, [row])
    if event.kind != EventKind.OTHER:
        _solve(session, event)
    return True


def _solve(session: Session, event: Event) -> None:
    """What was a riddle when it came first is none to look at any more."""
    message = event.id.removesuffix(f"/{event.kind}")
    riddle = update(BillingEvent).where(BillingEvent.external_id == f"{message}/{EventKind.OTHER}")
    session.execute(riddle.values(wrapped=None))


def _reckon_anew(
    service: Service,
    session: Session,
    tenant: Tenant,
    known: Sequence[Event],
    told: Sequence[Told],
    now: datetime,
    *,
    had: str | None,
) -> None:
    """Let the subscription become what its events add up to now; `known`: what they were. `had`:
    the plan that it goes back to where they name none.
    """
    customer_id = tenant.customer_id
    subscription = session.get_one(Subscription, customer_id, with_for_update=True)
    customer = session.get_one(Customer, customer_id)
    if customer.erased_at is not None:  # kept for people to look at; nothing follows from it
        forget(session, customer_id)
        return
    _link(session, subscription)
    events = told_of(session, customer_id)
    if len(events) == len(known):
        return
    session.add_all(_audited(customer_id, each, now) for each in told)
    trial = trial_of(subscription, customer)
    before, after = add_up(trial, known), add_up(replace(trial, plan=had or trial.plan), events)
    keep(subscription, after)
    for event in events:
        if event.kind == EventKind.PAID and event.receipt and event not in known:
            _thank(session, customer_id, event.receipt, now)
    follow(
        service,
        session,
        tenant,
        subscription,
        customer,
        plan=after.plan if after.plan != before.plan else None,
        actor=told[0].actor if told else BILLING,
        now=now,
    )


def _link(session: Session, subscription: Subscription) -> None:
    """Know whom the payment provider means from now on, and meant in what came before."""
    own = BillingEvent.customer_id == subscription.customer_id
    names = session.scalars(_links().where(own).with_only_columns(BillingEvent.billing_customer))
    if known := [name for name in names if name is not None]:
        subscription.billing_customer = known[0]
        waiting = update(BillingEvent).where(
            BillingEvent.billing_customer.in_(known), BillingEvent.customer_id.is_(None)
        )
        session.execute(waiting.values(customer_id=subscription.customer_id))


def _thank(session: Session, customer_id: str, receipt: str, now: datetime) -> None:
    """Once for each receipt, of which there may be several messages."""
    outbox.put(
        session,
        customer_id=customer_id,
        kind=MailKind.PAYMENT_RECEIVED,
        period=hashlib.sha256(receipt.encode()).hexdigest()[:32],
        now=now,
    )


def _audited(customer_id: str, told: Told, now: datetime) -> Audit:
    event = told.event
    details = {"event": event.id, "type": told.type, "plan": event.plan}
    action = f"subscription.{event.kind}"
    return audited(action, customer_id, actor=told.actor, now=now, **details)

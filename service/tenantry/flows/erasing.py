"""What is personal of a customer goes, and a record of ids and dates stays (R54).

All of it is one transaction: a crash anywhere leaves everything or nothing. The company's name
leaves the tenant's folder with the next publication; the history of Git, and what a forge was told,
keep it: what others have cloned cannot be taken back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import (
    Change,
    Customer,
    Outbox,
    Proposal,
    Subscription,
    Tenant,
)
from tenantry.adapters.passwords import NO_PASSWORD
from tenantry.core.errors import ChangeRefused
from tenantry.core.model import State
from tenantry.core.subscription import Stage
from tenantry.flows.accounts import links
from tenantry.flows.accounts.logins import end_all_logins
from tenantry.flows.accounts.waiting import is_waiting
from tenantry.flows.audit_rows import audited
from tenantry.flows.generation import raise_generation
from tenantry.flows.outbox import IS_UNSENT
from tenantry.flows.reviewing.waiting import waiting
from tenantry.flows.rows import locked_customer, no_customer
from tenantry.flows.service import Service
from tenantry.flows.signups import repeats
from tenantry.flows.subscriptions import events

log = structlog.get_logger()
AT_REST = frozenset({State.SUSPENDED, State.DELETING})


@dataclass(frozen=True)
class Erasable:
    """Who a customer is that can be erased: personal, for the operator alone who is asked."""

    company_name: str
    email: str


def require_erasable(service: Service, customer_id: str) -> Erasable:
    """Who would be erased now; raises what `erase` would."""
    with service.database.read() as session:
        tenant = session.get(Tenant, customer_id)
        if tenant is None:
            raise no_customer(customer_id)
        customer = session.get_one(Customer, customer_id)
        _require_rest(session, tenant, customer)
        return Erasable(customer.company_name, customer.email)


def erase(service: Service, customer_id: str, *, actor: str) -> None:
    """Empty what is personal of a customer whose instance is at rest.

    NotFound where there is no such customer, ChangeRefused where the instance runs, may come back
    by itself, or all was erased before.
    """
    now = service.now()
    with service.database.write() as session:
        tenant, customer = locked_customer(session, customer_id, even_erased=True)
        _require_rest(session, tenant, customer)
        repeats.forget_customer(service, session, customer_id, customer.created_at)
        _empty(customer, now)
        _end_subscription(session, customer_id)
        end_all_logins(session, customer_id)
        links.forget_all(session, customer_id)
        _forget_mail(session, customer_id, now)
        _forget_company(session, tenant, actor, now)
        session.add(audited("customer.erased", customer_id, actor=actor, now=now))
    log.info("customer.erased", customer_id=customer_id)


def _require_rest(session: Session, tenant: Tenant, customer: Customer) -> None:
    customer_id = tenant.customer_id
    if customer.erased_at is not None:
        raise ChangeRefused(f"{customer_id} was erased on {customer.erased_at:%Y-%m-%d}")
    if waiting(session, customer_id):
        raise ChangeRefused(
            f"a change of {customer_id} waits for a review, and could bring its instance back",
            remedy=f"first `tenantry changes decline {customer_id}`",
        )
    if is_waiting(tenant):
        raise ChangeRefused(
            f"the signup of {customer_id} waits for its confirmation or approval",
            remedy=f"first `tenantry customers decline {customer_id}`",
        )
    if tenant.generation == 0:  # its signup was declined
        return
    if tenant.approved["state"] not in AT_REST:
        raise ChangeRefused(
            f"the instance of {customer_id} is {tenant.approved['state']}",
            remedy=f"first `tenantry tenants state {customer_id} suspended`",
        )
    if (tenant.published_spec or {}).get("state") not in AT_REST:
        raise ChangeRefused(
            f"main does not show yet that {customer_id} is {tenant.approved['state']}",
            remedy="wait until `tenantry tenants list --behind` does not name it",
        )


def _empty(customer: Customer, now: datetime) -> None:
    """Ids stand where something must: no address, name or link is like one."""
    customer.email = ""
    customer.email_key = customer.customer_id
    customer.company_name = customer.customer_id
    customer.full_name = None
    customer.time_zone = "UTC"
    customer.password_hash = NO_PASSWORD
    customer.status_token_hash = customer.customer_id
    customer.erased_at = now


def _end_subscription(session: Session, customer_id: str) -> None:
    """Nothing follows from it any more, and no payment finds it."""
    subscription = session.get_one(Subscription, customer_id, with_for_update=True)
    subscription.status = Stage.CANCELLED
    subscription.look_at = subscription.looked_at = None
    subscription.billing_customer = None
    events.forget(session, customer_id)


def _forget_mail(session: Session, customer_id: str, now: datetime) -> None:
    """What was sent is on record; what was not, never will be. Servers' words quote addresses."""
    of_customer = Outbox.customer_id == customer_id
    session.execute(update(Outbox).where(of_customer, *IS_UNSENT).values(withheld_at=now))
    session.execute(update(Outbox).where(of_customer).values(wrapped=None, last_error=None))


def _forget_company(session: Session, tenant: Tenant, actor: str, now: datetime) -> None:
    """The customer's id takes the place of the company's name: in what main shows, too, with the
    next publication.
    """
    customer_id = tenant.customer_id
    for change in session.scalars(select(Change).where(Change.customer_id == customer_id)):
        change.fields = _nameless(change.fields, customer_id)
        change.before = _nameless(change.before, customer_id)
    for proposal in session.scalars(select(Proposal).where(Proposal.customer_id == customer_id)):
        proposal.spec = _nameless(proposal.spec, customer_id)
    if tenant.approved["company"] == customer_id:
        return
    tenant.approved = _nameless(tenant.approved, customer_id)
    if tenant.generation > 0:
        raise_generation(session, tenant, action="tenant.nameless", actor=actor, now=now)


def _nameless(fields: dict[str, Any], customer_id: str) -> dict[str, Any]:
    return {**fields, "company": customer_id} if "company" in fields else fields

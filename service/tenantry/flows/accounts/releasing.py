"""A new account has what it waited for, and its instance begins.

Until then the customer's rows stand as any signup's, but nothing is rendered, published or reviewed
(`waiting`). Whoever brings what was missing last starts it, once, as the signup would have; the
days of the trial begin then.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import (
    Change,
    Customer,
    Deployment,
    LicenseRow,
    Subscription,
    Tenant,
)
from tenantry.core.days import day_ends
from tenantry.core.errors import ChangeRefused
from tenantry.core.mail import MailKind
from tenantry.core.model import LicenseAction, Status, TenantSpec
from tenantry.core.review import ChangeKind, Mode, lay_license
from tenantry.core.subscription import add_up
from tenantry.core.terms import license_term
from tenantry.flows import outbox, status
from tenantry.flows.accounts.waiting import APPROVAL, is_waiting, waits_for
from tenantry.flows.audit_rows import audited
from tenantry.flows.licensing.issuing import issue_again
from tenantry.flows.reviewing.changes import waiting_signup
from tenantry.flows.rows import locked_customer
from tenantry.flows.service import Service
from tenantry.flows.subscriptions.booking import booking_of, keep, told_of, trial_of

log = structlog.get_logger()

DECLINED = "declined"


def approve(service: Service, customer_id: str, *, actor: str) -> bool:
    """Note that an operator wants the customer; whether the instance is set up with that, since
    nothing else was missing. One that was declined is taken back.

    NotFound for an unknown customer, ChangeRefused where there is nothing to approve.
    """
    now = service.now()
    with service.database.write() as session:
        tenant, customer = locked_customer(session, customer_id)
        if not is_waiting(tenant) and not _was_declined(session, tenant):
            raise ChangeRefused(f"{customer_id} does not wait for an approval")
        customer.approved_at = now
        status.report(session, tenant, Status(tenant.status), APPROVAL, detail="", now=now)
        session.add(audited("customer.approved", customer_id, actor=actor, now=now))
        outbox.drop_unsent(session, customer_id, {MailKind.DECLINED}, now=now)
        return release(service, session, tenant, customer, actor=actor, now=now)


def decline(service: Service, customer_id: str, *, actor: str) -> None:
    """End a signup that waits, and tell the customer. NotFound and ChangeRefused as `approve`."""
    now = service.now()
    with service.database.write() as session:
        tenant, _ = locked_customer(session, customer_id)
        if not is_waiting(tenant):
            raise ChangeRefused(f"{customer_id} does not wait for an approval")
        status.report(session, tenant, Status.AWAITING_REVIEW, DECLINED, detail=actor, now=now)
        session.add(audited("customer.declined", customer_id, actor=actor, now=now))
        outbox.drop_unsent(session, customer_id, {MailKind.CONFIRM}, now=now)
        outbox.put(session, customer_id=customer_id, kind=MailKind.DECLINED, now=now)
        outbox.restore(session, customer_id, MailKind.DECLINED, "")  # after an approval


def note_confirmed(
    service: Service, session: Session, tenant: Tenant, customer: Customer, *, now: datetime
) -> None:
    """The customer has shown to read the mail of its address. In the caller's transaction, with
    both rows locked.
    """
    if customer.email_confirmed_at is not None:
        return
    customer_id, customer.email_confirmed_at = customer.customer_id, now
    session.add(audited("customer.confirmed", customer_id, actor=customer_id, now=now))
    release(service, session, tenant, customer, actor=customer_id, now=now)


def release(
    service: Service,
    session: Session,
    tenant: Tenant,
    customer: Customer,
    *,
    actor: str,
    now: datetime,
) -> bool:
    """Start a waiting tenant where nothing is missing any more; whether that is so. In the caller's
    transaction, with the row locked. Of several who bring what was missing, the last starts it.
    """
    if not is_waiting(tenant):
        return False
    missing = waits_for(service, customer)
    reason = missing or "pending"
    status.report(session, tenant, Status(tenant.status), reason, detail="", now=now)
    if missing:
        return False
    _begin_trial(service, session, tenant, customer, actor, now)
    _start(service, session, tenant, actor, now)
    session.add(audited("customer.released", customer.customer_id, actor=actor, now=now))
    log.info("customer.released", customer_id=customer.customer_id)
    return True


def _was_declined(session: Session, tenant: Tenant) -> bool:
    """Whether that was here, and not in a review of its first configuration."""
    reviewed = select(Change.id).where(
        Change.customer_id == tenant.customer_id, Change.kind == ChangeKind.SIGNUP
    )
    is_declined = tenant.generation == 0 and tenant.reason_code == DECLINED
    return is_declined and session.scalar(reviewed.limit(1)) is None


def _begin_trial(
    service: Service,
    session: Session,
    tenant: Tenant,
    customer: Customer,
    actor: str,
    now: datetime,
) -> None:
    """What was told of the subscription while it waited is followed at once."""
    subscription = session.get_one(Subscription, customer.customer_id, with_for_update=True)
    subscription.created_at = subscription.look_at = now
    subscription.trial_ends_at = day_ends(now, customer.time_zone, after=service.product.trial.days)
    told = told_of(session, customer.customer_id)  # what was cancelled ends with the days now
    keep(subscription, add_up(trial_of(subscription, customer), told))
    booking = booking_of(subscription, customer)
    if booking.is_paid:  # its license comes with what was booked
        return
    term = license_term(booking, service.product, now)
    has = session.get_one(LicenseRow, tenant.approved["license_id"])
    if has.expires_at == term.dates.expires_at:
        return
    action, plan = LicenseAction.RENEWED, tenant.approved["plan"]
    fields = issue_again(service, session, tenant, plan=plan, action=action, actor=actor, now=now)
    spec = lay_license(TenantSpec.model_validate(tenant.approved), fields)
    tenant.approved = spec.model_dump(mode="json")


def _start(service: Service, session: Session, tenant: Tenant, actor: str, now: datetime) -> None:
    first = update(Deployment).where(Deployment.customer_id == tenant.customer_id)
    session.execute(first.values(wanted_at=now))
    if service.cells[tenant.cell].policy.mode(ChangeKind.SIGNUP) == Mode.DIRECT:
        tenant.generation = 1
    else:
        session.add(waiting_signup(tenant.customer_id, actor=actor, now=now))

"""A new customer becomes rows: all that there is of it from its first moment on (R5).

What follows (sealing, Git, mail) is found by the worker as the difference between what is wanted
and what is so.
"""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Customer, Subscription
from tenantry.adapters.vault import token_digest
from tenantry.core import naming
from tenantry.core.days import day_ends
from tenantry.core.mail import MailKind
from tenantry.core.model import LicenseAction, TokenPurpose
from tenantry.core.signup import Person
from tenantry.core.subscription import Booking, position
from tenantry.core.terms import license_term
from tenantry.flows import outbox
from tenantry.flows.accounts.links import send_link
from tenantry.flows.accounts.status_link import new_status_token
from tenantry.flows.accounts.waiting import CONFIRMATION, stands_before, waits_for
from tenantry.flows.estimate import estimated_time
from tenantry.flows.licensing.issuing import Issued, issue_license
from tenantry.flows.service import Service
from tenantry.flows.signups.answer import SignedUp, answer
from tenantry.flows.signups.tenant import first_tenant, want_tenant

ACTOR = "signup"


def create_customer(
    service: Service,
    session: Session,
    person: Person,
    password_hash: str,
    *,
    now: datetime,
    actor: str = ACTOR,
    is_bulk: bool = False,
    send_mail: bool = True,
    may_wait: bool = False,
) -> SignedUp:
    """All that a new customer has from its first moment on: account, trial, license, secrets and
    the tenant that is wanted. In the caller's transaction; IntegrityError for a known e-mail.
    `send_mail`: whether it is written to about its instance, now and when that is ready.
    `may_wait`: for what a new account has to wait for, where that is asked (`accounts.releasing`).
    """
    customer_id = naming.customer_id(key := naming.new_key(secrets.choice))
    status_token = new_status_token()
    customer = _customer(customer_id, person, password_hash, status_token, now)
    booking = _booking(service, person, now)
    subscription = _subscription(service, customer_id, booking, now)
    waits = waits_for(service, customer) if may_wait else None
    # in bulk, and what a foreign key names before what has it: without relationships the session
    # knows no order, and its flushes cost as much as all else here together
    session.bulk_save_objects([customer, subscription])
    issued = _issue_trial_license(service, session, key, booking, actor, now)
    tenant = first_tenant(service, key, person, issued, now, is_bulk=is_bulk)
    want_tenant(service, session, tenant, waits, actor, now)
    _write(service, session, customer_id, status_token if send_mail else None, waits, now)
    return answer(
        service.product, customer, subscription, tenant, issued,
        status_token=status_token, estimated_time=estimated_time(service, session, now),
        waits_for=stands_before(service) if may_wait else (),
    )  # fmt: skip


def _customer(
    customer_id: str, person: Person, password_hash: str, status_token: str, now: datetime
) -> Customer:
    return Customer(
        customer_id=customer_id,
        email=person.email,
        email_key=person.email_key,
        company_name=person.company_name,
        full_name=person.full_name,
        time_zone=person.time_zone,
        password_hash=password_hash,
        status_token_hash=token_digest(status_token),
        created_at=now,
    )


def _booking(service: Service, person: Person, now: datetime) -> Booking:
    trial = service.product.trial
    return Booking(
        started_at=now,
        time_zone=person.time_zone,
        trial_ends_at=day_ends(now, person.time_zone, after=trial.days),
        plan=trial.plan,
    )


def _subscription(
    service: Service, customer_id: str, booking: Booking, now: datetime
) -> Subscription:
    stands = position(booking, service.product, now)
    return Subscription(
        customer_id=customer_id,
        plan=booking.plan,
        status=stands.moment.stage,
        trial_ends_at=booking.trial_ends_at,
        created_at=now,
        asked_state=stands.moment.state,
        look_at=stands.next_at,
    )


def _issue_trial_license(
    service: Service, session: Session, key: str, booking: Booking, actor: str, now: datetime
) -> Issued:
    return issue_license(
        service,
        session,
        customer_id=naming.customer_id(key),
        tenant=naming.tenant_name(key),
        plan=booking.plan,
        term=license_term(booking, service.product, now),
        action=LicenseAction.GENERATED,
        actor=actor,
        now=now,
    )


def _write(
    service: Service,
    session: Session,
    customer_id: str,
    status_token: str | None,
    waits: str | None,
    now: datetime,
) -> None:
    """The mail that is due at once. None as the token: never any about the instance."""
    if status_token:
        wrapped = service.vault.wrap(status_token)
        kind = MailKind.WELCOME
        outbox.put(session, customer_id=customer_id, kind=kind, wrapped=wrapped, now=now)
    else:
        outbox.withhold(session, customer_id=customer_id, now=now)
    if waits == CONFIRMATION:
        send_link(service, session, customer_id, TokenPurpose.CONFIRM, now=now)

"""A signup becomes rows, in one transaction (R5): nothing outside the database happens here.

What follows (sealing, Git, mail) is found by the worker as the difference between what is wanted
and what is so.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import (
    Audit,
    Customer,
    Deployment,
    Secret,
    Subscription,
    Tenant,
)
from tenantry.adapters.passwords import hash_password
from tenantry.adapters.vault import token_digest
from tenantry.core import naming
from tenantry.core.errors import EmailTaken
from tenantry.core.model import State, Status, TenantSpec
from tenantry.core.product import SecretKey, Source
from tenantry.core.signup import SignupRequest
from tenantry.core.trial import license_dates, trial_ends_at
from tenantry.flows import outbox, status
from tenantry.flows.license import Issued, issue_license
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()
ACTOR = "signup"


@dataclass(frozen=True)
class SignedUp:
    """What the new customer is answered (R4). License and status token are theirs alone."""

    customer_id: str
    email: str
    company_name: str
    plan: str
    subscription_status: str
    trial_ends_at: datetime
    instance_url: str
    estimated_time: str
    license_token: str = field(repr=False)
    license_expires_at: datetime
    max_devices: int | None
    next_steps: tuple[str, ...]
    status_token: str = field(repr=False)


def signup(service: Service, request: SignupRequest, *, now: datetime) -> SignedUp:
    """Store the customer and all that is to be done for it; EmailTaken where the e-mail is known,
    also when two requests race.
    """
    with service.database.read() as session:
        _refuse_known_email(session, request)
    password_hash = hash_password(request.password.reveal())
    cell = service.new_tenants_cell
    customer_id = naming.customer_id(key := naming.new_key(secrets.choice))
    status_token = secrets.token_urlsafe(24)
    try:
        with service.database.write() as session:
            session.add(_customer(customer_id, request, password_hash, status_token, now))
            session.flush()
            ends = _start_trial(service, session, customer_id, request.time_zone, now)
            issued = _issue_trial_license(service, session, key, ends, request.time_zone, now)
            _want_tenant(service, session, cell, key, request, issued, now)
            outbox.put(
                session,
                customer_id=customer_id,
                kind="welcome",
                wrapped=service.vault.wrap(status_token),
                now=now,
            )
            session.add(_audit(customer_id, issued, service, now))
    except IntegrityError:
        with service.database.read() as session:
            _refuse_known_email(session, request)
        raise
    log.info("customer.signed_up", customer_id=customer_id, license_id=issued.license_id)
    return SignedUp(
        customer_id=customer_id,
        email=request.email,
        company_name=request.company_name,
        plan=service.product.trial.plan,
        subscription_status="trialing",
        trial_ends_at=ends,
        instance_url=cell.url(customer_id),
        estimated_time=service.product.estimated_time,
        license_token=issued.token,
        license_expires_at=issued.expires_at,
        max_devices=issued.max_devices,
        next_steps=service.product.next_steps,
        status_token=status_token,
    )


def _refuse_known_email(session: Session, request: SignupRequest) -> None:
    known = select(Customer.customer_id).where(Customer.email_key == request.email_key)
    if session.scalar(known) is not None:
        raise EmailTaken


def _customer(
    customer_id: str, request: SignupRequest, password_hash: str, status_token: str, now: datetime
) -> Customer:
    return Customer(
        customer_id=customer_id,
        email=request.email,
        email_key=request.email_key,
        company_name=request.company_name,
        full_name=request.full_name,
        time_zone=request.time_zone,
        password_hash=password_hash,
        status_token_hash=token_digest(status_token),
        created_at=now,
    )


def _start_trial(
    service: Service, session: Session, customer_id: str, time_zone: str, now: datetime
) -> datetime:
    trial = service.product.trial
    ends = trial_ends_at(now, trial.days, time_zone)
    session.add(
        Subscription(
            customer_id=customer_id,
            plan=trial.plan,
            status="trialing",
            trial_ends_at=ends,
            created_at=now,
        )
    )
    return ends


def _issue_trial_license(
    service: Service, session: Session, key: str, ends: datetime, time_zone: str, now: datetime
) -> Issued:
    trial = service.product.trial
    return issue_license(
        service,
        session,
        customer_id=naming.customer_id(key),
        tenant=naming.tenant_name(key),
        plan=trial.plan,
        kind="trial",
        dates=license_dates(
            ends, warn_days=trial.warn_days, grace_days=trial.grace_days, time_zone=time_zone
        ),
        action="generated",
        actor=ACTOR,
        now=now,
    )


def _want_tenant(
    service: Service,
    session: Session,
    cell: Cell,
    key: str,
    request: SignupRequest,
    issued: Issued,
    now: datetime,
) -> None:
    customer_id = naming.customer_id(key)
    spec = _spec(service, cell, key, request, issued, now)
    tenant = Tenant(
        customer_id=customer_id,
        name=spec.name,
        cell=cell.name,
        instance_url=cell.url(customer_id),
        approved=spec.model_dump(mode="json"),
        generation=1,
        status=Status.PENDING,
        status_since=now,
    )
    session.add(tenant)
    session.flush()
    status.report(session, tenant, Status.PENDING, "pending", detail="", now=now)
    session.add(Deployment(customer_id=customer_id, generation=1, wanted_at=now))
    for name, secret_key in service.product.secret.keys.items():
        if secret_key.source == Source.RANDOM:
            wrapped = service.vault.wrap(_draw(secret_key))
            session.add(Secret(customer_id=customer_id, key=name, version=1, wrapped=wrapped))


def _spec(
    service: Service, cell: Cell, key: str, request: SignupRequest, issued: Issued, now: datetime
) -> TenantSpec:
    product = service.product
    customer_id = naming.customer_id(key)
    versions = {
        Source.LICENSE: issued.license_id,
        Source.PUBLIC_KEYS: service.keyring.bundle_version(),
        Source.CUSTOMER_ID: "1",
        Source.RANDOM: "1",
    }
    return TenantSpec(
        name=naming.tenant_name(key),
        customer_id=customer_id,
        company=request.company_name,
        environment=product.environment,
        created_at=now.replace(microsecond=0),
        host=cell.host(customer_id),
        plan=product.trial.plan,
        state=State.ACTIVE,
        platform=product.platform,
        license_id=issued.license_id,
        secret_versions={name: versions[each.source] for name, each in product.secret.keys.items()},
        volumes=product.plans[product.trial.plan].volumes,
    )


def _draw(secret_key: SecretKey) -> str:
    characters = secret_key.alphabet.characters
    return "".join(secrets.choice(characters) for _ in range(secret_key.length or 0))


def _audit(customer_id: str, issued: Issued, service: Service, now: datetime) -> Audit:
    return Audit(
        at=now,
        actor=ACTOR,
        action="customer.signed_up",
        customer_id=customer_id,
        details={"license_id": issued.license_id, "plan": service.product.trial.plan},
    )

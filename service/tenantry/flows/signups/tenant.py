"""The tenant that a new customer wants: its row, its secrets, its first deployment."""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Change, Deployment, Secret, Tenant
from tenantry.core import naming
from tenantry.core.model import State, Status, TenantSpec
from tenantry.core.review import ChangeKind, Mode
from tenantry.core.secret import NOTHING_REVOKED, SecretKey, Source
from tenantry.core.signup import Person
from tenantry.flows import status
from tenantry.flows.audit_rows import audited
from tenantry.flows.licensing.issuing import Issued
from tenantry.flows.reviewing.changes import waiting_signup
from tenantry.flows.service import Cell, Service


def first_tenant(
    service: Service, key: str, person: Person, issued: Issued, now: datetime, *, is_bulk: bool
) -> Tenant:
    """As the trial has it, in the cell that new tenants come to. Nothing is stored."""
    cell = service.new_tenants_cell
    spec = _spec(service, cell, key, person, issued, now)
    return Tenant(
        customer_id=spec.customer_id,
        name=spec.name,
        cell=cell.name,
        instance_url=cell.url(spec.customer_id),
        approved=spec.model_dump(mode="json"),
        generation=1,
        is_bulk=is_bulk,
        status=Status.PENDING,
        status_since=now,
    )


def want_tenant(
    service: Service, session: Session, tenant: Tenant, waits: str | None, actor: str, now: datetime
) -> None:
    """Store it with its first deployment and what was drawn for it, to be published unless
    something has to come first: what the account `waits` for, a review.
    """
    customer_id = tenant.customer_id
    to_review = [] if waits else _to_review(service.new_tenants_cell, customer_id, actor, now)
    if waits or to_review:
        tenant.generation = 0
    status.report(session, tenant, Status.PENDING, waits or "pending", detail="", now=now)
    chosen = {key: tenant.approved[key] for key in ("license_id", "plan")}
    session.bulk_save_objects(
        [
            tenant,
            Deployment(customer_id=customer_id, generation=1, wanted_at=now),
            *to_review,
            *_draw_secrets(service, customer_id),
            audited("customer.signed_up", customer_id, actor=actor, now=now, **chosen),
        ]
    )


def _to_review(cell: Cell, customer_id: str, actor: str, now: datetime) -> list[Change]:
    """The change that waits for a person, where the cell's signups do."""
    if cell.policy.mode(ChangeKind.SIGNUP) == Mode.DIRECT:
        return []
    return [waiting_signup(customer_id, actor=actor, now=now)]


def _draw_secrets(service: Service, customer_id: str) -> list[Secret]:
    return [
        Secret(
            customer_id=customer_id,
            key=name,
            version=1,
            wrapped=service.vault.wrap(_draw(secret_key)),
        )
        for name, secret_key in service.product.secret.keys.items()
        if secret_key.source == Source.RANDOM
    ]


def _spec(
    service: Service, cell: Cell, key: str, person: Person, issued: Issued, now: datetime
) -> TenantSpec:
    product = service.product
    customer_id = naming.customer_id(key)
    versions = {
        Source.LICENSE: issued.license_id,
        Source.PUBLIC_KEYS: service.keyring.bundle_version(),
        Source.CUSTOMER_ID: "1",
        Source.RANDOM: "1",
        Source.REVOCATIONS: NOTHING_REVOKED,
    }
    return TenantSpec(
        name=naming.tenant_name(key),
        customer_id=customer_id,
        company=person.company_name if service.company_in_git else customer_id,
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

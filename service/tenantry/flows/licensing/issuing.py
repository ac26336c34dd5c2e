"""Issue a license: signed, stored wrapped, and on record (R10, R11)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import (
    LicenseHistory,
    LicenseRow,
    Tenant,
)
from tenantry.core import license as licenses
from tenantry.core.model import LicenseAction, State
from tenantry.core.secret import Source
from tenantry.core.terms import Term, license_term
from tenantry.flows.licensing.bundle import bundle_versions
from tenantry.flows.licensing.revocations import own_versions, revoke_other_plans
from tenantry.flows.service import Service
from tenantry.flows.subscriptions.booking import read_booking


@dataclass(frozen=True)
class Issued:
    """A license that was just issued. The token is for its own customer only."""

    license_id: str
    token: str
    expires_at: datetime
    max_devices: int | None

    def __repr__(self) -> str:
        return f"Issued({self.license_id})"


def issue_license(
    service: Service,
    session: Session,
    *,
    customer_id: str,
    tenant: str,
    plan: str,
    term: Term,
    action: LicenseAction,
    actor: str,
    now: datetime,
) -> Issued:
    """A new license for a tenant, with its row and its history, in the caller's transaction."""
    license_id = str(uuid.uuid4())
    claims = licenses.build_claims(
        product=service.product,
        customer_id=customer_id,
        tenant=tenant,
        plan=plan,
        kind=term.kind,
        jti=license_id,
        issued_at=now,
        expires_at=term.dates.expires_at,
        grace_until=term.dates.grace_until,
        warn_at=term.dates.warn_at,
    )
    signing = service.keyring.signing
    token = licenses.sign(claims, signing)
    digest = licenses.token_hash(token)
    max_devices = claims["limits"].get("max_devices")
    session.add(
        LicenseRow(
            license_id=license_id,
            customer_id=customer_id,
            plan=plan,
            kind=term.kind,
            key_id=signing.kid,
            token_hash=digest,
            wrapped=service.vault.wrap(token),
            issued_at=now,
            expires_at=term.dates.expires_at,
            grace_until=term.dates.grace_until,
        )
    )
    session.add(
        LicenseHistory(
            at=now,
            customer_id=customer_id,
            license_id=license_id,
            action=action,
            plan=plan,
            max_devices=max_devices,
            license_hash=digest,
            generated_by=actor,
            details={"kind": term.kind, "key_id": signing.kid, "features": claims["features"]},
        )
    )
    return Issued(license_id, token, term.dates.expires_at, max_devices)


def issue_again(
    service: Service,
    session: Session,
    tenant: Tenant,
    *,
    plan: str,
    action: LicenseAction,
    actor: str,
    now: datetime,
) -> dict[str, Any]:
    """A further license for a tenant, for as long as its subscription says; the fields of its spec
    that name it, and the keys that verify it. Its licenses for other plans are revoked. In the
    caller's transaction.
    """
    issued = issue_license(
        service,
        session,
        customer_id=tenant.customer_id,
        tenant=tenant.name,
        plan=plan,
        term=license_term(
            read_booking(session, tenant.customer_id),
            service.product,
            now,
            runs=tenant.approved["state"] == State.ACTIVE,
        ),
        action=action,
        actor=actor,
        now=now,
    )
    revoke_other_plans(session, tenant.customer_id, plan, actor=actor, now=now)
    keys = service.product.secret.keys_from(Source.LICENSE)
    versions = dict.fromkeys(keys, issued.license_id)
    versions |= own_versions(service, session, tenant, now) | bundle_versions(service)
    return {"license_id": issued.license_id, "secret_versions": versions}

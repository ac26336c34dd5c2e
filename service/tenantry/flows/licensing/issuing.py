"""Issue a license: signed, stored wrapped, and on record (R10, R11)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import LicenseHistory, LicenseRow, Tenant
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
        term=term,
        jti=license_id,
        issued_at=now,
    )
    token = licenses.sign(claims, service.keyring.signing)
    row = _row(service, claims, token, term, now)
    session.add_all([row, _history(row, claims, action, actor)])
    return Issued(license_id, token, term.dates.expires_at, claims["limits"].get("max_devices"))


def _row(
    service: Service, claims: Mapping[str, Any], token: str, term: Term, now: datetime
) -> LicenseRow:
    return LicenseRow(
        license_id=claims["jti"],
        customer_id=claims["sub"],
        plan=claims["plan"],
        kind=term.kind,
        key_id=service.keyring.signing.kid,
        token_hash=licenses.token_hash(token),
        wrapped=service.vault.wrap(token),
        issued_at=now,
        expires_at=term.dates.expires_at,
        grace_until=term.dates.grace_until,
    )


def _history(
    row: LicenseRow, claims: Mapping[str, Any], action: LicenseAction, actor: str
) -> LicenseHistory:
    return LicenseHistory(
        at=row.issued_at,
        customer_id=row.customer_id,
        license_id=row.license_id,
        action=action,
        plan=row.plan,
        max_devices=claims["limits"].get("max_devices"),
        license_hash=row.token_hash,
        generated_by=actor,
        details={"kind": row.kind, "key_id": row.key_id, "features": claims["features"]},
    )


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

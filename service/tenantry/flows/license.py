"""Issue a license: signed, stored wrapped, and on record (R10, R11)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import LicenseHistory, LicenseRow
from tenantry.core import license as licenses
from tenantry.core.trial import LicenseDates
from tenantry.flows.service import Service


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
    kind: str,
    dates: LicenseDates,
    action: str,
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
        kind=kind,
        jti=license_id,
        issued_at=now,
        expires_at=dates.expires_at,
        grace_until=dates.grace_until,
        warn_at=dates.warn_at,
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
            kind=kind,
            key_id=signing.kid,
            token_hash=digest,
            wrapped=service.vault.wrap(token),
            issued_at=now,
            expires_at=dates.expires_at,
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
            details={"kind": kind, "key_id": signing.kid, "features": claims["features"]},
        )
    )
    return Issued(license_id, token, dates.expires_at, max_devices)

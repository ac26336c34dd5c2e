"""What hangs on each key that signs licenses, or did, or will: counted, a page of tenants at a
time. No private key is read here, but for the name of the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import LicenseRow, Tenant
from tenantry.flows.fleet import bulk
from tenantry.flows.fleet.bulk import Selection
from tenantry.flows.licensing.bundle import bundle_versions
from tenantry.flows.licensing.issuing import is_left
from tenantry.flows.service import Service


@dataclass(frozen=True)
class KeyUse:
    """One key, and what it is still needed for."""

    kid: str
    role: str  # "signing", "next" or "earlier"
    is_published: bool  # its public half is given to all who verify
    licenses: int  # that have not lapsed
    tenants: int  # whose license it signed
    needed_until: datetime | None  # when the last of the licenses lapses; None: there is none


@dataclass(frozen=True)
class Census:
    """All keys, the one that signs first; and how far the tenants are with what is published."""

    keys: tuple[KeyUse, ...]
    tenants: int
    lacking: int  # tenants whose Secret on main has other public keys than are published
    left: int  # tenants whose license the key that signs now has to issue anew

    def of(self, role: str) -> list[KeyUse]:
        """The keys of that role."""
        return [each for each in self.keys if each.role == role]

    def as_json(self) -> dict[str, object]:
        """For programs."""
        keys = [
            {**asdict(each), "needed_until": each.needed_until and each.needed_until.isoformat()}
            for each in self.keys
        ]
        counts = {"tenants": self.tenants, "lacking": self.lacking, "left": self.left}
        return {"keys": keys, **counts}


def take_census(service: Service) -> Census:
    """Count. SettingsError where the next key cannot be used."""
    keyring, next_key = service.keyring, service.key_folder.next_key()
    kids = dict.fromkeys(keyring.public)
    if next_key is not None:
        kids[next_key.kid] = None
    roles = dict.fromkeys(kids, "earlier") | {keyring.signing.kid: "signing"}
    if next_key is not None:
        roles[next_key.kid] = "next"
    licenses = _licenses(service)
    tenants, lacking, left = _count_tenants(service)
    uses = tuple(
        KeyUse(kid, roles[kid], kid in keyring.public, count, tenants[kid], until)
        for kid, (count, until) in ((kid, licenses.get(kid, (0, None))) for kid in kids)
    )
    return Census(uses, tenants.total(), lacking, left)


def _licenses(service: Service) -> Mapping[str, tuple[int, datetime | None]]:
    """By key: how many of its licenses have not lapsed, and when the last of them does."""
    rows = (
        select(LicenseRow.key_id, func.count(), func.max(LicenseRow.grace_until))
        .where(LicenseRow.grace_until > service.now(), LicenseRow.revoked_at.is_(None))
        .group_by(LicenseRow.key_id)
    )
    with service.database.read() as session:
        return {kid: (count, until) for kid, count, until in session.execute(rows)}


def _count_tenants(service: Service) -> tuple[Counter[str], int, int]:
    """How many run with a license of each key; have other public keys; and wait for a license."""
    by_key, lacking, left = Counter[str](), 0, 0
    for cell in service.cells.values():
        for page in bulk.pages(service, cell, Selection()):
            with service.database.read() as session:
                tenants = session.scalars(select(Tenant).where(Tenant.customer_id.in_(page))).all()
                by_key.update(_keys_of(session, tenants))
                left += sum(is_left(service, session, each) for each in tenants)
            lacking += sum(not _has_keys(service, each) for each in tenants)
    return by_key, lacking, left


def _keys_of(session: Session, tenants: Sequence[Tenant]) -> Sequence[str]:
    ids = [each.approved["license_id"] for each in tenants]
    rows = select(LicenseRow.key_id).where(LicenseRow.license_id.in_(ids))
    return session.scalars(rows).all()


def _has_keys(service: Service, tenant: Tenant) -> bool:
    """Whether main shows the tenant with the public keys as they are now."""
    shown: dict[str, str] = (tenant.published_spec or {}).get("secret_versions", {})
    return bundle_versions(service).items() <= shown.items()

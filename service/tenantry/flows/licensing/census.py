"""What hangs on each key that signs licenses, or did, or will: counted, a page of tenants at a
time. No private key is read here, but for the name of the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import ItemsView, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from tenantry.adapters.database.tables import LicenseRow, Tenant
from tenantry.flows.fleet import bulk
from tenantry.flows.fleet.bulk import Selection
from tenantry.flows.licensing.bundle import bundle_versions
from tenantry.flows.licensing.reissuing import left, read_licenses
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
    lacking: int  # main shows them without the keys that are published, or not at all
    outdated: int  # main shows, or will show first, other keys: a retirement is not finished
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
        return {**asdict(self), "keys": keys}


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
    by_key, lacking, outdated, waiting = _count_tenants(service)
    uses = tuple(
        KeyUse(kid, roles[kid], kid in keyring.public, count, by_key[kid], until)
        for kid, (count, until) in ((kid, licenses.get(kid, (0, None))) for kid in kids)
    )
    return Census(uses, by_key.total(), lacking, outdated, waiting)


def _licenses(service: Service) -> Mapping[str, tuple[int, datetime | None]]:
    """By key: how many of its licenses have not lapsed, and when the last of them does."""
    rows = (
        select(LicenseRow.key_id, func.count(), func.max(LicenseRow.grace_until))
        .where(LicenseRow.grace_until > service.now(), LicenseRow.revoked_at.is_(None))
        .group_by(LicenseRow.key_id)
    )
    with service.database.read() as session:
        return {kid: (count, until) for kid, count, until in session.execute(rows)}


def _count_tenants(service: Service) -> tuple[Counter[str], int, int, int]:
    """How many run with a license of each key; lack public keys; have outdated ones; and wait for a
    license.
    """
    by_key, lacking, outdated, waiting = Counter[str](), 0, 0, 0
    wanted = bundle_versions(service).items()
    for cell in service.cells.values():
        for page in bulk.pages(service, cell, Selection()):
            with service.database.read() as session:
                tenants = session.scalars(select(Tenant).where(Tenant.customer_id.in_(page))).all()
                licenses = read_licenses(session, tenants)
                waiting += len(left(service, session, tenants, licenses))
            by_key.update(each.key_id for each in licenses.values())
            lacking += sum(not wanted <= _keys(each.published_spec) for each in tenants)
            specs = (each.published_spec or each.approved for each in tenants)
            outdated += sum(not wanted <= _keys(each) for each in specs)
    return by_key, lacking, outdated, waiting


def _keys(spec: Mapping[str, Any] | None) -> ItemsView[str, str]:
    """The versions of what is in the Secret of a tenant's spec; of none, none."""
    versions: dict[str, str] = (spec or {}).get("secret_versions", {})
    return versions.items()

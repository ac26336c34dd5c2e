"""An operator revokes licenses: listed at once, and told to the instance through Git (R13, R14)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import LicenseRow, Subscription, Tenant
from tenantry.core.errors import NotFound
from tenantry.core.review import ChangeKind
from tenantry.flows.licensing.bundle import bundle_versions
from tenantry.flows.licensing.revocations import is_listed, mark_revoked, own_versions
from tenantry.flows.reviewing.changes import change_tenant
from tenantry.flows.reviewing.ending import withdraw
from tenantry.flows.reviewing.waiting import waiting
from tenantry.flows.rows import locked
from tenantry.flows.service import Service


@dataclass(frozen=True)
class Revocable:
    """What is to be revoked of one customer."""

    customer_id: str
    license_ids: tuple[str, ...]
    stops_instance: bool  # the license that it runs with is among them, or that it is to run with


def find_revocable(
    service: Service, *, license_id: str | None = None, customer_id: str | None = None
) -> Revocable:
    """The license, or all of the customer's, as far as it has not lapsed and is not listed yet.
    NotFound where there is none.
    """
    with service.database.read() as session:
        owner = customer_id or _owner(session, license_id)
        tenant = session.get(Tenant, owner)
        shown = _shown(tenant)
        rows = _revocable(session, owner, license_id, shown, service.now())
        if tenant is None or not rows:
            raise NotFound(
                f"nothing of {license_id or owner} can be revoked",
                remedy="it is unknown, has lapsed, or is on the list already",
            )
        ids = tuple(row.license_id for row in rows)
        return Revocable(owner, ids, not {tenant.approved["license_id"], shown}.isdisjoint(ids))


def revoke(service: Service, found: Revocable, *, actor: str) -> None:
    """Revoke what was found: the public list names it from now on, and the tenant's own from when
    main shows the change.
    """
    now = service.now()
    with service.database.write() as session:
        (tenant,) = locked(session, [found.customer_id])
        rows = select(LicenseRow).where(LicenseRow.license_id.in_(found.license_ids))
        found_rows = session.scalars(rows)
        mark_revoked(session, found_rows, listed_after=timedelta(0), actor=actor, now=now)
        _tell_instance(service, session, tenant, actor, now)


def _tell_instance(
    service: Service, session: Session, tenant: Tenant, actor: str, now: datetime
) -> None:
    waits = _license_that_waits(session, tenant, actor, now)
    versions = own_versions(service, session, tenant, now)
    known = tenant.approved["secret_versions"]
    if tenant.generation == 0 or all(known.get(name) == v for name, v in versions.items()):
        return  # nothing of it runs yet, or its list names these already
    named = waits.get("secret_versions", {}) | versions | bundle_versions(service)
    fields = {**waits, "secret_versions": named}
    cell = service.cells[tenant.cell]
    asked = {ChangeKind.LICENSE: fields}
    change_tenant(service, session, cell, tenant, asked, actor=actor, now=now)


def _license_that_waits(
    session: Session, tenant: Tenant, actor: str, now: datetime
) -> dict[str, Any]:
    """What the change says that brings the tenant another license, and waits for a review; nothing
    where there is none. One that brings a revoked license is ended, and another is asked for as
    soon as the subscription is followed.
    """
    changes = waiting(session, tenant.customer_id)
    fields = next((each.fields for each in changes if each.kind == ChangeKind.LICENSE), {})
    if "license_id" not in fields:
        return {}
    if session.get_one(LicenseRow, fields["license_id"]).revoked_at is None:
        return fields
    withdraw(session, tenant, ChangeKind.LICENSE, by=actor, now=now)
    session.get_one(Subscription, tenant.customer_id, with_for_update=True).look_at = now
    return {}


def _owner(session: Session, license_id: str | None) -> str:
    row = session.get(LicenseRow, license_id) if license_id else None
    if row is None:
        raise NotFound(f"there is no license {license_id}", remedy="its id is the claim `jti`")
    return row.customer_id


def _shown(tenant: Tenant | None) -> str | None:
    """The license that main shows; None: nothing of the tenant."""
    return tenant.published_spec["license_id"] if tenant and tenant.published_spec else None


def _revocable(
    session: Session,
    customer_id: str,
    license_id: str | None,
    shown: str | None,
    now: datetime,
) -> Sequence[LicenseRow]:
    rows = select(LicenseRow).where(
        LicenseRow.customer_id == customer_id, LicenseRow.grace_until > now
    )
    if license_id is not None:
        rows = rows.where(LicenseRow.license_id == license_id)
    found = session.scalars(rows.order_by(LicenseRow.issued_at)).all()
    return [row for row in found if not is_listed(row, shown, now)]

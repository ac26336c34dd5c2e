"""Revoking licenses, and the lists that name them (R13).

There are two: the public one, and in each tenant's Secret its own. A license whose place another
one takes is named by the tenant's own list at once, since both come in one commit; by the public
one only later, so that an instance that still runs on the old one, because Git or the cluster are
slow, is not stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import LicenseHistory, LicenseRow, Tenant
from tenantry.core.errors import KeysChanged
from tenantry.core.model import LicenseAction
from tenantry.core.revocations import Revocation, list_version, sign_list, time_of
from tenantry.core.secret import NOTHING_REVOKED, Source
from tenantry.flows.service import Service

log = structlog.get_logger()
REPLACED_AFTER = timedelta(days=7)  # the public list names a license that another one replaced

Revocations = Mapping[str, Sequence[Revocation]]  # by customer id


def mark_revoked(
    session: Session,
    rows: Iterable[LicenseRow],
    *,
    listed_after: timedelta,
    actor: str,
    now: datetime,
) -> None:
    """Revoke these licenses, in the caller's transaction, with the tenant's row locked. One that
    was revoked before is listed earlier, if that is what `listed_after` says: zero lists it as one
    that an operator revoked, and none that was replaced.
    """
    for row in rows:
        if row.revoked_at is None:
            row.revoked_at = now.replace(microsecond=0)  # as a list says it
            session.add(_history(row, actor, now))
        listed_at = row.revoked_at + listed_after
        row.listed_at = min(row.listed_at or listed_at, listed_at)
    session.flush()


def revoke_other_plans(
    session: Session, customer_id: str, plan: str, *, actor: str, now: datetime
) -> None:
    """Revoke what is still valid of the customer's licenses for other plans; likewise."""
    rows = select(LicenseRow).where(
        LicenseRow.customer_id == customer_id,
        LicenseRow.plan != plan,
        LicenseRow.revoked_at.is_(None),
        LicenseRow.grace_until > now,
    )
    others = session.scalars(rows).all()
    mark_revoked(session, others, listed_after=REPLACED_AFTER, actor=actor, now=now)


def _history(row: LicenseRow, actor: str, now: datetime) -> LicenseHistory:
    return LicenseHistory(
        at=now,
        customer_id=row.customer_id,
        license_id=row.license_id,
        action=LicenseAction.REVOKED,
        plan=row.plan,
        max_devices=None,
        license_hash=row.token_hash,
        generated_by=actor,
        details={"kind": row.kind, "key_id": row.key_id},
    )


# The tenant's own list


def own_versions(
    service: Service, session: Session, tenant: Tenant, now: datetime
) -> dict[str, str]:
    """What the tenant's own list is called now, by the keys of its Secret that hold it."""
    names = service.product.secret.keys_from(Source.REVOCATIONS)
    if not names:
        return {}
    revoked = read_revoked(session, [tenant.customer_id]).get(tenant.customer_id, ())
    known = service.product.secret.complete(tenant.approved["secret_versions"])
    kid = service.keyring.signing.kid
    return {name: list_version(revoked, kid, now=now, before=known[name]) for name in names}


def own_list(
    service: Service, session: Session, revoked: Sequence[Revocation], version: str
) -> str:
    """The tenant's own list of that version; that word where nothing was revoked. KeysChanged where
    the version is of a key that came after the one that signs here.
    """
    if version == NOTHING_REVOKED:
        return NOTHING_REVOKED
    keyring, at = service.keyring, datetime.fromtimestamp(time_of(version), UTC)
    for kid in keyring.public:
        is_named = list_version(revoked, kid, now=at, before=version) == version
        if is_named and _came_after(session, kid, keyring.signing.kid):
            raise KeysChanged(remedy="this process has older files of keys than others; mount them")
    return sign_list(revoked, keyring.signing, product=service.product, at=at)


def _came_after(session: Session, kid: str, signing: str) -> bool:
    """Whether a key began to sign after the one that signs here; the licenses tell. A list of an
    earlier key may be signed anew: nobody else would do so for who gets no license by a rotation.
    """
    if kid == signing:
        return False
    keys = LicenseRow.key_id.in_([kid, signing])
    first = func.min(LicenseRow.issued_at).label("first")
    rows = select(LicenseRow.key_id, first).where(keys).group_by(LicenseRow.key_id)
    began = {row.key_id: row.first for row in session.execute(rows)}
    return signing in began and (kid not in began or bool(began[kid] > began[signing]))


def read_revoked(session: Session, customer_ids: Iterable[str]) -> Revocations:
    """What was ever revoked of these customers' licenses."""
    rows = select(LicenseRow).where(
        LicenseRow.customer_id.in_(list(customer_ids)), LicenseRow.revoked_at.is_not(None)
    )
    found: dict[str, list[Revocation]] = {}
    for row in session.scalars(rows):
        found.setdefault(row.customer_id, []).append(_revocation(row))
    return found


# The public list


def public_list(service: Service) -> str:
    """All licenses that nobody may run with any longer, signed."""
    now = service.now()
    shown = Tenant.published_spec["license_id"].as_string()
    rows = (
        select(LicenseRow, shown)
        .outerjoin(Tenant, Tenant.customer_id == LicenseRow.customer_id)
        .where(LicenseRow.listed_at <= now, LicenseRow.grace_until > now)
    )
    with service.database.read() as session:
        revoked = [
            _revocation(row) for row, runs in session.execute(rows) if is_listed(row, runs, now)
        ]
    return sign_list(revoked, service.keyring.signing, product=service.product, at=now)


def is_listed(row: LicenseRow, shown: str | None, now: datetime) -> bool:
    """Whether the public list names the license. One that was replaced is not on it while it is the
    one that main shows (`shown`, its id), however long its place is not taken there.
    """
    if row.listed_at is None or row.listed_at > now:
        return False
    return row.license_id != shown or not _is_replaced(row)


def _is_replaced(row: LicenseRow) -> bool:
    """Whether another license took its place, and no operator revoked it."""
    assert row.revoked_at is not None  # noqa: S101 - as what is listed
    assert row.listed_at is not None  # noqa: S101 - likewise
    return row.listed_at - row.revoked_at >= REPLACED_AFTER


def _revocation(row: LicenseRow) -> Revocation:
    assert row.revoked_at is not None  # noqa: S101 - by the queries
    return Revocation(row.license_id, row.revoked_at, row.grace_until)

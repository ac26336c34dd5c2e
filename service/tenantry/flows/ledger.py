"""What was about to be pushed, what stands accepted on main, and what was set aside.

The database's half of publishing. A push is intended before it is made and accepted once it was
seen on main, so a pass that dies in between is understood by the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Audit, Deployment, Publication, Tenant
from tenantry.core.errors import TenantryError
from tenantry.core.model import Status
from tenantry.flows import status
from tenantry.flows.service import Service

log = structlog.get_logger()
ACTOR = "publisher"


@dataclass(frozen=True)
class Push:
    """A tree that a generation of a tenant is rendered to."""

    generation: int
    tree: str


@dataclass(frozen=True)
class Landed:
    """A generation that stands on main: its tree, and the commit that made it stand."""

    generation: int
    tree: str
    commit: str


@dataclass(frozen=True)
class Refusal:
    """A generation that must not be published, and why."""

    generation: int
    error: TenantryError


def intended(session: Session, customer_ids: Iterable[str]) -> dict[str, set[Push]]:
    """By customer: pushes that were intended and not yet accepted."""
    found: dict[str, set[Push]] = {}
    for row in session.scalars(_open_publications(customer_ids)):
        found.setdefault(row.customer_id, set()).add(Push(row.generation, row.tree))
    return found


def intend(service: Service, pushes: Mapping[str, Push]) -> None:
    """Record, by customer, what is about to be pushed."""
    if not pushes:
        return
    with service.database.write() as session:
        _lock_tenants(session, pushes)
        known, now = intended(session, pushes), service.now()
        session.add_all(
            Publication(
                customer_id=customer_id, generation=push.generation, tree=push.tree, intended_at=now
            )
            for customer_id, push in pushes.items()
            if push not in known.get(customer_id, ())
        )


def accept(service: Service, landed: Mapping[str, Landed]) -> None:
    """Record, by customer, what stands on main; a generation never goes back."""
    if not landed:
        return
    with service.database.write() as session:
        now = service.now()
        fresh = [
            tenant
            for tenant in _lock_tenants(session, landed)
            if tenant.published_generation < landed[tenant.customer_id].generation
        ]
        for tenant in fresh:
            _accept(session, tenant, landed[tenant.customer_id], now)
        _close_publications(session, landed, now)
        _date_deployments(session, landed, now)


def set_aside(service: Service, refused: Mapping[str, Refusal]) -> None:
    """Take tenants that cannot be published out of the publisher's way, each with its reason."""
    if not refused:
        return
    with service.database.write() as session:
        for tenant in _lock_tenants(session, refused):
            refusal = refused[tenant.customer_id]
            if tenant.generation == refusal.generation:
                tenant.set_aside = str(refusal.error)
                details = {"generation": refusal.generation, "code": refusal.error.code}
                session.add(_audit(tenant.customer_id, "tenant.set_aside", details, service.now()))
                log.warning(
                    "tenant.set_aside", customer_id=tenant.customer_id, detail=str(refusal.error)
                )


def _lock_tenants(session: Session, customer_ids: Iterable[str]) -> Sequence[Tenant]:
    """The tenants' rows, locked, in the one order in which everybody locks them."""
    rows = select(Tenant).where(Tenant.customer_id.in_(list(customer_ids)))
    return session.scalars(rows.order_by(Tenant.customer_id).with_for_update()).all()


def _accept(session: Session, tenant: Tenant, landed: Landed, now: datetime) -> None:
    tenant.published_generation = landed.generation
    tenant.published_commit = landed.commit
    tenant.published_at = now
    tenant.accepted_tree = landed.tree
    if tenant.status == Status.PENDING:
        status.report(session, tenant, Status.PROVISIONING, "no_application", detail="", now=now)
    details = {"generation": landed.generation, "commit": landed.commit, "tree": landed.tree}
    session.add(_audit(tenant.customer_id, "tenant.published", details, now))
    log.info("tenant.published", customer_id=tenant.customer_id, commit=landed.commit)


def _close_publications(session: Session, landed: Mapping[str, Landed], now: datetime) -> None:
    """What landed is accepted; what was intended up to it and did not land is forgotten."""
    for row in session.scalars(_open_publications(landed)):
        reached = landed[row.customer_id]
        if (row.generation, row.tree) == (reached.generation, reached.tree):
            row.accepted_at, row.commit = now, reached.commit
        elif row.generation <= reached.generation:
            session.delete(row)


def _date_deployments(session: Session, landed: Mapping[str, Landed], now: datetime) -> None:
    rows = select(Deployment).where(
        Deployment.customer_id.in_(landed), Deployment.published_at.is_(None)
    )
    for row in session.scalars(rows):
        if row.generation <= landed[row.customer_id].generation:
            row.published_at = now


def _open_publications(customer_ids: Iterable[str]) -> Select[Publication]:
    return select(Publication).where(
        Publication.customer_id.in_(list(customer_ids)), Publication.accepted_at.is_(None)
    )


def _audit(customer_id: str, action: str, details: Mapping[str, object], now: datetime) -> Audit:
    return Audit(at=now, actor=ACTOR, action=action, customer_id=customer_id, details=dict(details))

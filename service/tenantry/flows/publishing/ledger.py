"""What was about to be pushed, what stands accepted on main, and what was set aside.

The database's half of publishing. A push is intended before it is made and accepted once it was
seen on main, so a pass that dies in between is understood by the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Row, Select, delete, select, update
from sqlalchemy.orm import Session, defer

from tenantry.adapters.database.session import insert_new, upsert
from tenantry.adapters.database.tables import (
    Deployment,
    Proposal,
    Publication,
    Repository,
    Tenant,
)
from tenantry.core.edits import Edit
from tenantry.core.errors import TenantryError
from tenantry.core.model import Status, TenantSpec
from tenantry.flows import platform_records, status
from tenantry.flows.audit_rows import audited
from tenantry.flows.platform_records import Seen
from tenantry.flows.publishing import retry
from tenantry.flows.rows import in_order
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()
ACTOR = "publisher"
_OPEN = (
    Publication.id, Publication.customer_id, Publication.generation, Publication.tree,
    Publication.rendered_tree, Publication.edited_files,
)  # fmt: skip


@dataclass(frozen=True)
class Push:
    """A tree that a generation of a tenant is rendered to, and the edit by hand that it keeps."""

    generation: int
    tree: str
    edit: Edit | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Landed:
    """A generation that stands on main: what was rendered, its tree, the commit that made it stand,
    and the edit by hand that it keeps.
    """

    generation: int
    spec: TenantSpec
    tree: str
    commit: str
    edit: Edit | None = None


@dataclass(frozen=True)
class Refusal:
    """A generation that must not be published, and why."""

    generation: int
    error: TenantryError


def intended(session: Session, customer_ids: Iterable[str]) -> dict[str, set[Push]]:
    """By customer: pushes that were intended and not yet accepted."""
    found: dict[str, set[Push]] = {}
    for row in session.execute(_open_publications(customer_ids)):
        push = Push(row.generation, row.tree, edit_of(row))
        found.setdefault(row.customer_id, set()).add(push)
    return found


def edit_of(row: Tenant | Publication | Proposal | Row[*tuple[Any, ...]]) -> Edit | None:
    """The edit by hand that a row's tree keeps."""
    if row.rendered_tree is None or row.edited_files is None:
        return None
    return Edit(row.rendered_tree, {name: tuple(pair) for name, pair in row.edited_files.items()})


def write_edit(edit: Edit | None) -> dict[str, Any]:
    """The columns that `edit_of` reads."""
    if edit is None:
        return {"rendered_tree": None, "edited_files": None}
    return {"rendered_tree": edit.rendered, "edited_files": dict(edit.files)}


def accepted_once(session: Session, customer_ids: Iterable[str]) -> set[tuple[str, str]]:
    """(customer id, tree) of what was ever accepted of these."""
    rows = select(Publication.customer_id, Publication.tree).where(
        Publication.customer_id.in_(list(customer_ids)), Publication.accepted_at.is_not(None)
    )
    return {(customer_id, tree) for customer_id, tree in session.execute(rows)}


def intend(service: Service, pushes: Mapping[str, Push]) -> None:
    """Record, by customer, what is about to be pushed; what is on record already stays."""
    if not pushes:
        return
    with service.database.write() as session:
        now = service.now()
        session.execute(in_order(select(Tenant.customer_id), pushes))
        rows = [
            {
                "customer_id": customer_id,
                "generation": push.generation,
                "tree": push.tree,
                "intended_at": now,
                **write_edit(push.edit),
            }
            for customer_id, push in pushes.items()
        ]
        insert_new(session, Publication, rows)


def accept(
    service: Service,
    cell: Cell,
    landed: Mapping[str, Landed],
    *,
    was: str | None,
    head: str | None,
    platforms: Sequence[Seen],
) -> None:
    """Record, by customer, what stands on main, and that main went from commit `was` to `head` and
    has these platform versions. A generation never goes back.
    """
    with service.database.write() as session:
        now = service.now()
        fresh = [
            tenant
            for tenant in _lock_tenants(session, landed)
            if tenant.published_generation < landed[tenant.customer_id].generation
        ]
        for tenant in fresh:
            stand(session, tenant, landed[tenant.customer_id], now)
        _close_publications(session, landed, now)
        date_deployments(session, landed, now)
        platform_records.record(session, cell, platforms, actor=ACTOR, now=now)
        see(session, cell, was, head)


def set_aside(service: Service, refused: Mapping[str, Refusal]) -> dict[str, str]:
    """Take tenants that cannot be published out of the publisher's way; by customer, those that
    were and why. Not one that changed, or was published by another, since it was refused.
    """
    reasons: dict[str, str] = {}
    if not refused:
        return reasons
    with service.database.write() as session:
        for tenant in _lock_tenants(session, refused):
            refusal = refused[tenant.customer_id]
            if tenant.published_generation < refusal.generation == tenant.generation:
                _set_aside(session, tenant, refusal, service.now())
                reasons[tenant.customer_id] = str(refusal.error)
    return reasons


def _lock_tenants(session: Session, customer_ids: Iterable[str]) -> Sequence[Tenant]:
    """The tenants' rows, locked; without what is wanted of them, which nobody here reads."""
    rows = select(Tenant).options(defer(Tenant.approved, raiseload=True))
    return session.scalars(in_order(rows, customer_ids)).all()


def _set_aside(session: Session, tenant: Tenant, refusal: Refusal, now: datetime) -> None:
    tenant.set_aside = str(refusal.error)
    tenant.replaces = None  # what an operator let us replace is not for later
    details = {"generation": refusal.generation, "code": refusal.error.code}
    session.add(audited("tenant.set_aside", tenant.customer_id, actor=ACTOR, now=now, **details))
    log.warning("tenant.set_aside", customer_id=tenant.customer_id, detail=tenant.set_aside)


def stand(session: Session, tenant: Tenant, landed: Landed, now: datetime) -> None:
    """Have a locked row say what stands on main."""
    tenant.published_generation = landed.generation
    tenant.published_spec = landed.spec.model_dump(mode="json")
    tenant.published_commit = landed.commit
    tenant.published_at = now
    keep(tenant, landed.tree, landed.edit)
    tenant.replaces = None
    tenant.is_bulk = tenant.is_bulk and tenant.generation > landed.generation
    retry.forget(tenant)
    if tenant.status in (Status.PENDING, Status.AWAITING_REVIEW):
        status.report(session, tenant, Status.PROVISIONING, "no_application", detail="", now=now)
    details = {"generation": landed.generation, "commit": landed.commit, "tree": landed.tree}
    session.add(audited("tenant.published", tenant.customer_id, actor=ACTOR, now=now, **details))
    log.info("tenant.published", customer_id=tenant.customer_id, commit=landed.commit)


def keep(tenant: Tenant, tree: str, edit: Edit | None) -> None:
    """Have the tree stand accepted, with the edit by hand that is in it. One that somebody adopted
    stays so for as long as it is the same.
    """
    before = edit_of(tenant)
    is_same = edit is not None and before is not None and edit.leaves_as(before)
    tenant.is_edit_adopted = tenant.is_edit_adopted and is_same
    tenant.accepted_tree = tree
    for column, value in write_edit(edit).items():
        setattr(tenant, column, value)


def see(session: Session, cell: Cell, was: str | None, head: str | None) -> None:
    """The repository answered, and main is at `head`; who saw it move from `was` meanwhile knows
    better.
    """
    known = session.get(Repository, cell.name, with_for_update=True)
    seen = head if known is None or known.head == was else known.head
    row = {"cell": cell.name, "head": seen, "attempts": 0, "retry_at": None, "last_error": None}
    upsert(session, Repository, [row])


def _close_publications(session: Session, landed: Mapping[str, Landed], now: datetime) -> None:
    """What landed is accepted; what was intended up to it and did not land is forgotten."""
    accepted, forgotten = [], []
    for row in session.execute(_open_publications(landed)):
        reached = landed[row.customer_id]
        if (row.generation, row.tree) == (reached.generation, reached.tree):
            accepted.append({"id": row.id, "accepted_at": now, "commit": reached.commit})
        elif row.generation <= reached.generation:
            forgotten.append(row.id)
    if accepted:
        session.execute(update(Publication), accepted)
    if forgotten:
        session.execute(delete(Publication).where(Publication.id.in_(forgotten)))


def date_deployments(session: Session, landed: Mapping[str, Landed], now: datetime) -> None:
    """Have the deployments that reached main say when."""
    columns = (
        Deployment.id, Deployment.customer_id, Deployment.generation, Deployment.wanted_at,
        Deployment.committed_at,
    )  # fmt: skip
    rows = select(*columns).where(
        Deployment.customer_id.in_(landed), Deployment.published_at.is_(None)
    )
    dated = [
        # the clock may have been set back
        {
            "id": row.id,
            "published_at": (at := max(now, row.wanted_at)),
            "committed_at": row.committed_at or at,
        }
        for row in session.execute(rows)
        if row.generation <= landed[row.customer_id].generation
    ]
    if dated:
        session.execute(update(Deployment), dated)


def _open_publications(customer_ids: Iterable[str]) -> Select[*tuple[Any, ...]]:
    return select(*_OPEN).where(
        Publication.customer_id.in_(list(customer_ids)), Publication.accepted_at.is_(None)
    )

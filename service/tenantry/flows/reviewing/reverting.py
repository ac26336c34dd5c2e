"""What people took back on main after they had merged it is followed: the folder is what it was
before the merge, but for a license that was issued since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Row, Select, func, select

from tenantry.adapters.database.tables import Change, Tenant
from tenantry.adapters.git import NOT_A_TREE
from tenantry.core import naming
from tenantry.core.model import TenantSpec
from tenantry.core.overlay import LOCAL
from tenantry.core.review import FIELDS, ChangeKind, Mode, Outcome, lay_on
from tenantry.flows.publishing import ledger
from tenantry.flows.publishing.ledger import Landed
from tenantry.flows.publishing.rendering import render_files
from tenantry.flows.publishing.sealing import sealed_values
from tenantry.flows.reviewing.applying import move
from tenantry.flows.reviewing.standing import REVIEWER, follow_up, raise_for
from tenantry.flows.rows import locked
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()


@dataclass(frozen=True)
class Once:
    """A change that a person merged, the newest of its tenant, and how main was before it."""

    change: int
    customer_id: str
    before: Mapping[str, Any]  # core.model.TenantSpec, with `tree` and the merge's `commit`
    accepted_tree: str | None


def merged_once(cell: Cell) -> Select[int, str, dict[str, Any], str | None]:
    """The newest change of each tenant that a person merged: it may be taken back on main."""
    newest = (
        select(func.max(Change.id))
        .where(
            Change.mode == Mode.REVIEW,
            Change.outcome == Outcome.APPLIED,
            Change.kind != ChangeKind.SIGNUP,
        )
        .group_by(Change.customer_id)
    )
    return (
        select(Change.id, Tenant.customer_id, Change.before, Tenant.accepted_tree)
        .join(Tenant, Tenant.customer_id == Change.customer_id)
        .where(Tenant.cell == cell.name, Change.id.in_(newest))
    )


def find_reverted(cell: Cell, rows: Sequence[Row[Any]], head: str) -> list[Once]:
    """Those whose folder is neither what stands accepted nor older than the merge."""
    once = [Once(*each) for each in map(tuple, rows)]
    trees = cell.repository.trees_at(head, [naming.folder_of(each.customer_id) for each in once])
    return [
        each
        for each in once
        if trees[naming.folder_of(each.customer_id)] not in (None, NOT_A_TREE, each.accepted_tree)
        and cell.repository.descends(head, each.before.get("commit") or "")
    ]


def take_back(service: Service, cell: Cell, once: Once, head: str) -> bool:
    """Follow main where a person reverted what was merged last: the folder is what it was before,
    but for a license that was issued since.
    """
    now, folder = service.now(), naming.folder_of(once.customer_id)
    standing = str(cell.repository.trees_at(head, [folder])[folder])
    shown = _as_shown(service, cell, once, head, standing)
    if shown is None:
        return False
    with service.database.write() as session:
        tenant = locked(session, [once.customer_id])[0]
        change = session.get_one(Change, once.change)
        if change.outcome != Outcome.APPLIED or tenant.accepted_tree != once.accepted_tree:
            return False
        kind = ChangeKind(change.kind)
        back = {name: change.before[name] for name in FIELDS[kind]}
        approved, laid = TenantSpec.model_validate(tenant.approved), [(kind, back)]
        spec = lay_on(approved, laid, service.product, volumes_grow=cell.volumes_grow)
        move(service, session, tenant, spec, by=REVIEWER, now=now)
        change.outcome, change.decided_by, change.decided_at = Outcome.REVERTED, REVIEWER, now
        raise_for(session, tenant, "change.reverted", now)
        commit = cell.repository.last_commit(folder)
        landed = Landed(tenant.generation, spec, standing, commit)
        ledger.stand(session, tenant, landed, now)
        ledger.date_deployments(session, {tenant.customer_id: landed}, now)
        follow_up(session, tenant, shown, now)
    log.info("change.reverted", customer_id=once.customer_id)
    return True


def _as_shown(
    service: Service, cell: Cell, once: Once, head: str, standing: str
) -> Mapping[str, Any] | None:
    """The spec from before the merge, if main shows it, be it with today's license."""
    before = {name: once.before[name] for name in TenantSpec.model_fields}
    if standing == once.before["tree"]:
        return before
    with service.database.read() as session:
        approved = session.get_one(Tenant, once.customer_id).approved
    today = before | {name: approved[name] for name in FIELDS[ChangeKind.LICENSE]}
    spec = TenantSpec.model_validate(today)
    sealed = sealed_values(service, cell, [spec])
    place = f"{naming.folder_of(once.customer_id)}/{LOCAL}"
    local = cell.repository.trees_at(head, [place])[place]
    shall = render_files(service, cell, spec, sealed.of(spec), local=local)
    return today if shall.tree == standing else None

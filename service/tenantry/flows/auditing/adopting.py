"""Saying that an edit by hand shall stay: publications keep it, and no audit tells of it."""

from __future__ import annotations

from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Tenant
from tenantry.adapters.git import NOT_A_TREE
from tenantry.core import naming
from tenantry.core.edits import Edit
from tenantry.core.errors import ChangeRefused, HandEdited
from tenantry.core.finding import seen
from tenantry.core.record import RECORD
from tenantry.flows.audit_rows import audited
from tenantry.flows.auditing.edits import find_edit
from tenantry.flows.generation import try_again
from tenantry.flows.publishing import ledger
from tenantry.flows.rows import locked
from tenantry.flows.service import Service


def adopt(service: Service, customer_id: str, *, actor: str) -> tuple[str, ...]:
    """Adopt what people changed in the tenant's folder on main; the names of those files.

    ChangeRefused where nothing was changed that could stay, or the tenant moves meanwhile;
    RepositoryError where main cannot be read. Then nothing is changed.
    """
    with service.database.read() as session:
        before = session.get_one(Tenant, customer_id)
        cell, looked_at = service.cells[before.cell], seen(before)
    folder, head = naming.folder_of(customer_id), cell.repository.fetch()
    standing = cell.repository.trees_at(head, [folder])[folder]
    with service.database.write() as session:
        (tenant,) = locked(session, [customer_id])
        if seen(tenant) != looked_at:
            raise ChangeRefused(f"{customer_id} was published meanwhile", remedy="try again")
        edit = _require_edit(service, session, tenant, standing)
        _adopt(service, session, tenant, str(standing), edit, actor)
        tenant.published_commit = cell.repository.last_commit(folder)
    return tuple(edit.files)


def _require_edit(service: Service, session: Session, tenant: Tenant, standing: str | None) -> Edit:
    customer_id = tenant.customer_id
    pushed = ledger.intended(session, [customer_id])
    if standing in (None, NOT_A_TREE) or not (tenant.accepted_tree or pushed):
        raise ChangeRefused(f"{customer_id}: there is no folder of ours on main that was edited")
    try:
        edit = find_edit(service.cells[tenant.cell], tenant, str(standing), pushed)
    except HandEdited as error:
        raise ChangeRefused(f"{customer_id}: {error.message}", remedy=error.remedy) from error
    if edit is None or (tenant.is_edit_adopted and standing == tenant.accepted_tree):
        raise ChangeRefused(f"{customer_id}: there is no edit that nobody adopted")
    if RECORD in edit.files:
        raise ChangeRefused(
            f"{customer_id}: {RECORD} says what is wanted, and stays ours",
            remedy="take its edit back on main, then adopt the rest",
        )
    return edit


def _adopt(
    service: Service, session: Session, tenant: Tenant, standing: str, edit: Edit, actor: str
) -> None:
    now, files = service.now(), list(edit.files)
    ledger.keep(tenant, standing, edit)
    tenant.is_edit_adopted = True
    if tenant.set_aside is not None:
        try_again(session, tenant, actor=actor, now=now)
    details = {"tree": standing, "files": files}
    session.add(audited("tenant.edit_adopted", tenant.customer_id, actor=actor, now=now, **details))

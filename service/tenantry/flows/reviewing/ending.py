"""Changes that wait are ended without having been made: withdrawn, declined, or replaced."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Change, Tenant
from tenantry.core.errors import ChangeRefused
from tenantry.core.mail import MailKind
from tenantry.core.model import Status
from tenantry.core.review import ChangeKind, Outcome
from tenantry.flows import outbox, status
from tenantry.flows.generation import renew_branch
from tenantry.flows.reviewing.waiting import close_done, end, waiting
from tenantry.flows.rows import locked_of_cell
from tenantry.flows.service import Cell, Service


def withdraw(
    session: Session,
    tenant: Tenant,
    kind: ChangeKind,
    *,
    by: str,
    now: datetime,
    asked_by: str | None = None,
) -> None:
    """End a change of that kind that waits: it is moot; `asked_by`: if that actor asked for it. In
    the caller's transaction, with the row locked.
    """
    moot = [
        each
        for each in waiting(session, tenant.customer_id)
        if each.kind == kind and asked_by in (None, each.actor)
    ]
    for each in moot:
        end(each, Outcome.WITHDRAWN, by, now)
    if moot:
        renew_branch(session, tenant.customer_id)
        close_done(session, tenant, now)


def decline(service: Service, cell: Cell, customer_id: str, *, actor: str) -> int:
    """End all changes of a tenant that wait; how many. NotFound where the cell has no such tenant,
    ChangeRefused where nothing of it waits.
    """
    now = service.now()
    with service.database.write() as session:
        tenant = locked_of_cell(session, cell.name, customer_id)
        ended = decline_changes(session, tenant, by=actor, now=now)
        close_done(session, tenant, now)
    if not ended:
        raise ChangeRefused(f"no change of {customer_id} waits for a review")
    return ended


def decline_changes(session: Session, tenant: Tenant, *, by: str, now: datetime) -> int:
    """The same within the caller's transaction, with the row locked; the customer is told where it
    was the signup.
    """
    renew_branch(session, tenant.customer_id)
    ended = end_waiting(session, tenant, list(ChangeKind), Outcome.DECLINED, by, now)
    if any(change.kind == ChangeKind.SIGNUP for change in ended):
        status.report(session, tenant, Status.AWAITING_REVIEW, "declined", detail=by, now=now)
        outbox.put(session, customer_id=tenant.customer_id, kind=MailKind.DECLINED, now=now)
    return len(ended)


def end_waiting(
    session: Session,
    tenant: Tenant,
    kinds: Collection[ChangeKind],
    outcome: Outcome,
    by: str,
    now: datetime,
) -> list[Change]:
    """End the tenant's changes of these kinds that wait, which are returned. In the caller's
    transaction, with the row locked.
    """
    ended = [each for each in waiting(session, tenant.customer_id) if each.kind in kinds]
    for each in ended:
        end(each, outcome, by, now)
    return ended

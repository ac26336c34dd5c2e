"""The licenses that run are issued anew with the key that signs now (R12)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import LicenseRow, Tenant
from tenantry.core.model import LicenseAction, State
from tenantry.core.review import ChangeKind
from tenantry.core.subscription import position
from tenantry.flows.fleet import bulk
from tenantry.flows.fleet.bulk import ACTOR, Marked, Selection
from tenantry.flows.license import issue_again
from tenantry.flows.reviewing.changes import change_tenant
from tenantry.flows.reviewing.waiting import waits
from tenantry.flows.rows import locked
from tenantry.flows.service import Cell, Service
from tenantry.flows.subscriptions.booking import read_booking


def mark_for_issuing(service: Service, cell: Cell, selection: Selection) -> Iterator[Marked]:
    """Issue anew, page by page, the licenses that another key signed than the one that signs now.

    Of tenants that are to run: who reads only, or is suspended, keeps what is left of the license;
    and one that was revoked is not made valid again.
    """
    for page in bulk.pages(service, cell, selection):
        now = service.now()
        with service.database.write() as session:
            tenants = [each for each in locked(session, page) if is_left(service, session, each)]
            before = {each.customer_id: each.generation for each in tenants}
            for each in tenants:
                _issue(service, session, cell, each, now)
            marked = {
                each.customer_id: each.generation
                for each in tenants
                if each.generation > before[each.customer_id]
            }
        yield Marked(len(page), marked, last=page[-1])


def is_left(service: Service, session: Session, tenant: Tenant) -> bool:
    """Whether the tenant's license is to be issued anew, and was not."""
    row = session.get_one(LicenseRow, tenant.approved["license_id"])
    if row.key_id == service.keyring.signing.kid or row.revoked_at is not None:
        return False
    return _is_to_run(service, session, tenant) and not waits(
        session, tenant.customer_id, ChangeKind.LICENSE
    )


def _is_to_run(service: Service, session: Session, tenant: Tenant) -> bool:
    booking = read_booking(session, tenant.customer_id)
    stands = position(booking, service.product, service.now())
    is_deleted = tenant.approved["state"] == State.DELETING
    return stands.moment.state == State.ACTIVE and not is_deleted


def _issue(service: Service, session: Session, cell: Cell, tenant: Tenant, now: datetime) -> None:
    plan, action = tenant.approved["plan"], LicenseAction.REISSUED
    fields = issue_again(service, session, tenant, plan=plan, action=action, actor=ACTOR, now=now)
    asked = {ChangeKind.LICENSE: fields}
    change_tenant(service, session, cell, tenant, asked, actor=ACTOR, now=now, is_bulk=True)

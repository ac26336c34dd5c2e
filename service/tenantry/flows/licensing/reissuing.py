"""The licenses that run are issued anew with the key that signs now (R12)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Change, Customer, LicenseRow, Subscription, Tenant
from tenantry.core.model import LicenseAction
from tenantry.core.review import ChangeKind
from tenantry.core.subscription import Moment, position
from tenantry.flows.fleet import bulk
from tenantry.flows.fleet.bulk import ACTOR, Marked, Selection
from tenantry.flows.licensing.issuing import issue_again
from tenantry.flows.reviewing.changes import change_tenant
from tenantry.flows.service import Cell, Service
from tenantry.flows.subscriptions.booking import booking_of
from tenantry.flows.subscriptions.renewal import runs


def mark_for_issuing(service: Service, cell: Cell, selection: Selection) -> Iterator[Marked]:
    """Issue anew, page by page, the licenses that another key signed than the one that signs now.

    Of tenants that run or are to run, also where it was an operator who woke them: who reads only,
    or is suspended, keeps what is left of the license; and one that was revoked is not made valid
    again.
    """
    for page in bulk.pages(service, cell, selection):
        marked = bulk.mark(service, page, partial(_issue_left, service, cell))
        yield Marked(len(page), marked, last=page[-1])


def _issue_left(
    service: Service, cell: Cell, session: Session, tenants: Sequence[Tenant]
) -> list[Tenant]:
    """Those of the tenants that get their license without a review."""
    chosen = left(service, session, tenants, read_licenses(session, tenants))
    before = {each.customer_id: each.generation for each in chosen}
    for each in chosen:
        _issue(service, session, cell, each)
    return [each for each in chosen if each.generation > before[each.customer_id]]


def _issue(service: Service, session: Session, cell: Cell, tenant: Tenant) -> None:
    plan, action, now = tenant.approved["plan"], LicenseAction.REISSUED, service.now()
    fields = issue_again(service, session, tenant, plan=plan, action=action, actor=ACTOR, now=now)
    asked = {ChangeKind.LICENSE: fields}
    change_tenant(service, session, cell, tenant, asked, actor=ACTOR, now=now, is_bulk=True)


def read_licenses(session: Session, tenants: Iterable[Tenant]) -> dict[str, LicenseRow]:
    """The licenses that the tenants run with, or are to, by customer id."""
    ids = [each.approved["license_id"] for each in tenants]
    rows = select(LicenseRow).where(LicenseRow.license_id.in_(ids))
    return {row.customer_id: row for row in session.scalars(rows)}


def left(
    service: Service,
    session: Session,
    tenants: Iterable[Tenant],
    licenses: Mapping[str, LicenseRow],
) -> list[Tenant]:
    """Those of the tenants whose license is to be issued anew, and was not."""
    signing = service.keyring.signing.kid
    earlier = {
        each.customer_id: each
        for each in tenants
        if (row := licenses[each.customer_id]).key_id != signing and row.revoked_at is None
    }
    waiting = _read_waiting(session, earlier)
    moments = _read_moments(service, session, earlier.keys() - waiting)
    return [each for name, each in earlier.items() if name in moments and runs(each, moments[name])]


def _read_waiting(session: Session, customer_ids: Iterable[str]) -> set[str]:
    """Those with a license that waits for a review."""
    rows = select(Change.customer_id).where(
        Change.customer_id.in_(list(customer_ids)),
        Change.kind == ChangeKind.LICENSE,
        Change.outcome.is_(None),
    )
    return set(session.scalars(rows))


def _read_moments(
    service: Service, session: Session, customer_ids: Iterable[str]
) -> dict[str, Moment]:
    """Where their subscriptions stand."""
    rows = (
        select(Subscription, Customer)
        .join(Customer, Customer.customer_id == Subscription.customer_id)
        .where(Subscription.customer_id.in_(list(customer_ids)))
    )
    now = service.now()
    return {
        customer.customer_id: position(
            booking_of(subscription, customer), service.product, now
        ).moment
        for subscription, customer in session.execute(rows)
    }

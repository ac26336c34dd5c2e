"""Which license a tenant needs for its subscription, and when the next one (R14): what is paid for
is renewed before it ends, a trial's ends with the trial.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Change, LicenseHistory, LicenseRow, Tenant
from tenantry.core.mail import MailKind
from tenantry.core.model import LicenseAction, State
from tenantry.core.review import ChangeKind, Outcome
from tenantry.core.subscription import Moment
from tenantry.core.terms import license_term, renews_at
from tenantry.flows import outbox
from tenantry.flows.reviewing.waiting import waits
from tenantry.flows.service import Service
from tenantry.flows.subscriptions.followed import Followed

UNTIL_DECIDED = timedelta(days=1)  # of a license that waits for a review


def needs_license(service: Service, it: Followed) -> bool:
    """Whether what runs, or is to run, needs another license than the one that was issued last."""
    if not runs(it.tenant, it.moment):
        return False
    if _is_trial(it):
        term = license_term(it.booking, service.product, it.now)
        return it.issued.expires_at != term.dates.expires_at
    is_first_paid = it.booking.is_paid and it.issued.kind != "paid"
    return is_first_paid or it.now >= _renewal_of(service, it.issued)


def next_renewal(service: Service, it: Followed) -> datetime | None:
    """When the license that was issued last has to be renewed; None where it has not."""
    if _is_trial(it) or not runs(it.tenant, it.moment):
        return None
    return _renewal_of(service, it.issued)


def until_decided(session: Session, tenant: Tenant, now: datetime) -> datetime | None:
    """When to look again at a license that waits: it may be turned down."""
    is_waiting = waits(session, tenant.customer_id, ChangeKind.LICENSE)
    return now + UNTIL_DECIDED if is_waiting else None


def last_license(session: Session, tenant: Tenant) -> LicenseRow:
    """The license that was issued last: what waits for a review is not asked for again. One whose
    change came to nothing does not count, or the one that runs would lapse.
    """
    issued = (
        select(LicenseRow)
        .join(LicenseHistory, LicenseHistory.license_id == LicenseRow.license_id)
        .where(LicenseRow.customer_id == tenant.customer_id)
        .where(LicenseHistory.action != LicenseAction.REVOKED)
        .where(LicenseRow.license_id.not_in(_turned_down(session, tenant.customer_id)))
    )
    return session.scalars(issued.order_by(LicenseHistory.id.desc()).limit(1)).one()


def tell_renewal(session: Session, tenant: Tenant, now: datetime) -> None:
    """Make the mail due that the license was renewed; once for each."""
    outbox.put(
        session,
        customer_id=tenant.customer_id,
        kind=MailKind.LICENSE_RENEWED,
        period=tenant.approved["license_id"].replace("-", ""),
        now=now,
    )


def runs(tenant: Tenant, moment: Moment) -> bool:
    """Whether it runs or is to run: also where the subscription says otherwise, but an operator
    woke it, or a reviewer has not let it be stopped.
    """
    state = tenant.approved["state"]
    return state != State.DELETING and State.ACTIVE in (state, moment.state)


def _is_trial(it: Followed) -> bool:
    """Whether its license is that of the trial, which still runs."""
    return not it.booking.is_paid and it.wanted == State.ACTIVE


def _turned_down(session: Session, customer_id: str) -> set[str]:
    """The licenses that were withdrawn or declined, and did not come with another change."""
    rows = select(Change).where(
        Change.customer_id == customer_id, Change.kind == ChangeKind.LICENSE
    )
    changes = [each for each in session.scalars(rows) if "license_id" in each.fields]
    ended = {Outcome.WITHDRAWN, Outcome.DECLINED}
    stand = {each.fields["license_id"] for each in changes if each.outcome not in ended}
    return {each.fields["license_id"] for each in changes} - stand


def _renewal_of(service: Service, row: LicenseRow) -> datetime:
    return renews_at(row.expires_at, service.product, row.customer_id)

"""How things stand just now, in a few numbers that the database counts (R44)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from tenantry.adapters.database.tables import (
    BillingEvent,
    Customer,
    LicenseRow,
    Outbox,
    Subscription,
    Tenant,
    Watch,
)
from tenantry.core.model import State, Status
from tenantry.core.subscription import EventKind, Stage
from tenantry.flows import flags
from tenantry.flows.outbox import IS_UNSENT, IS_WAITING
from tenantry.flows.rows import IS_BEHIND
from tenantry.flows.subscriptions.fading import CAN_BE_SEEN

OVERDUE_AFTER = timedelta(hours=1)
ENDS_SOON = timedelta(days=3)


@dataclass(frozen=True)
class Gauges:
    """The fleet at one moment. `watch_age`: seconds since a cell's Argo CD last answered."""

    statuses: Mapping[str, int]
    behind: int  # what main does not show yet
    set_aside: int  # of these, what the publisher cannot publish
    mail: int  # that is due, not sent, and for somebody whom it reaches
    flaps: int
    watch_age: Mapping[str, float]
    watch_failing: Mapping[str, bool]
    stages: Mapping[str, int]  # of subscriptions
    mail_refused: int  # by a server for good
    billing: Mapping[str, int]  # what was told and changed nothing, by why
    overdue: int  # subscriptions that nobody follows
    ending: int  # licenses of active tenants that end soon
    flags: Mapping[str, bool]


def read_gauges(session: Session, now: datetime, cells: Collection[str]) -> Gauges:
    """How things stand, and how following the Argo CD of these cells fares."""
    watches = session.scalars(select(Watch).where(Watch.cell.in_(cells))).all()
    behind = select(func.count(), func.count(Tenant.set_aside)).where(IS_BEHIND)
    waiting, set_aside = session.execute(behind).one()
    return Gauges(
        statuses=count_statuses(session),
        behind=waiting,
        set_aside=set_aside,
        mail=count(session, *IS_WAITING),
        flaps=session.scalar(select(func.coalesce(func.sum(Tenant.flaps), 0))) or 0,
        watch_age={
            each.cell: max(0.0, (now - each.seen_at).total_seconds())
            for each in watches
            if each.seen_at
        },
        watch_failing={each.cell: each.failing_since is not None for each in watches},
        stages=_count_by(session, Subscription.status, Stage),
        mail_refused=count_refused_mail(session),
        billing=count_unclear_billing(session),
        overdue=count_overdue(session, now),
        ending=count_ending(session, now),
        flags={each.name.value: each.is_on for each in flags.stand(session)},
    )


def count_statuses(session: Session) -> dict[str, int]:
    """By status, in the order of a tenant's life: how many tenants."""
    return _count_by(session, Tenant.status, Status)


def _count_by(
    session: Session, column: InstrumentedAttribute[str], values: Iterable[StrEnum]
) -> dict[str, int]:
    rows = select(column.label("value"), func.count().label("number")).group_by(column)
    found = {row.value: row.number for row in session.execute(rows)}
    return {value.value: found.get(value.value, 0) for value in values}


def count_refused_mail(session: Session) -> int:
    """Letters that a server refused for good, and that somebody can still send."""
    return count(session, *IS_UNSENT, Outbox.refused_at.is_not(None))


def count_refused_addresses(session: Session) -> int:
    """Customers to whose address nothing is sent, since a server refused it."""
    return count(session, Customer.email_refused_at.is_not(None), Customer.erased_at.is_(None))


def count_unclear_billing(session: Session) -> dict[str, int]:
    """What was told of payments and changed nothing, while somebody still can look at it: of a
    customer whom nobody knows, or of a kind that is not understood.
    """
    nobody = BillingEvent.customer_id.is_(None)
    is_other = BillingEvent.kind == EventKind.OTHER
    return {
        "nobody": count(session, nobody, ~is_other, CAN_BE_SEEN),
        "not_understood": count(session, is_other, CAN_BE_SEEN),
    }


def count_overdue(session: Session, now: datetime) -> int:
    """Subscriptions that something has been due for too long, so no worker follows them."""
    return count(session, Subscription.look_at < now - OVERDUE_AFTER)


def count_ending(session: Session, now: datetime) -> int:
    """Paid licenses of active tenants that end soon, and should have been renewed."""
    return count(
        session,
        LicenseRow.customer_id == Tenant.customer_id,
        LicenseRow.license_id == Tenant.approved["license_id"].as_string(),
        LicenseRow.kind == "paid",
        LicenseRow.expires_at < now + ENDS_SOON,
        Tenant.approved["state"].as_string() == State.ACTIVE,
    )


def count(session: Session, *wanted: ColumnElement[bool]) -> int:
    """How many rows are like that."""
    return session.scalar(select(func.count()).where(*wanted)) or 0

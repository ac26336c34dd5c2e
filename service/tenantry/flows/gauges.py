"""How things stand just now, in a few numbers that the database counts (R44)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Outbox, Tenant, Watch
from tenantry.core.model import Status


@dataclass(frozen=True)
class Gauges:
    """The fleet at one moment. `watch_age`: seconds since a cell's Argo CD last answered."""

    statuses: Mapping[str, int]
    behind: int  # what main does not show yet
    set_aside: int  # of these, what the publisher cannot publish
    mail: int  # that is due and not sent
    flaps: int
    watch_age: Mapping[str, float]
    watch_failing: Mapping[str, bool]


def read_gauges(session: Session, now: datetime, cells: Collection[str]) -> Gauges:
    """How things stand, and how following the Argo CD of these cells fares."""
    watches = session.scalars(select(Watch).where(Watch.cell.in_(cells))).all()
    behind = select(func.count(), func.count(Tenant.set_aside)).where(
        Tenant.generation > Tenant.published_generation
    )
    waiting, set_aside = session.execute(behind).one()
    return Gauges(
        statuses=count_statuses(session),
        behind=waiting,
        set_aside=set_aside,
        mail=_count_mail(session),
        flaps=session.scalar(select(func.coalesce(func.sum(Tenant.flaps), 0))) or 0,
        watch_age={
            each.cell: max(0.0, (now - each.seen_at).total_seconds())
            for each in watches
            if each.seen_at
        },
        watch_failing={each.cell: each.failing_since is not None for each in watches},
    )


def count_statuses(session: Session) -> dict[str, int]:
    """By status, in the order of a tenant's life: how many tenants."""
    number = func.count().label("number")
    rows = select(Tenant.status, number).group_by(Tenant.status)
    found = {row.status: row.number for row in session.execute(rows)}
    return {status.value: found.get(status.value, 0) for status in Status}


def _count_mail(session: Session) -> int:
    unsent = (Outbox.sent_at.is_(None), Outbox.withheld_at.is_(None))
    return session.scalar(select(func.count()).select_from(Outbox).where(*unsent)) or 0

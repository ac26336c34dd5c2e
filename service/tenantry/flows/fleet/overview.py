"""The fleet at one look, and one tenant in detail, as operators see them (R45): ids and facts, no
personal data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Deployment, Event, Tenant
from tenantry.core.model import SETTLED, Status
from tenantry.flows.gauges import count_statuses
from tenantry.flows.rows import no_customer
from tenantry.flows.service import Service
from tenantry.flows.sight import blind_cells, is_late, unknown_since

AT_MOST = 50  # tenants that are listed
EVENTS = 20  # of one tenant
TROUBLED = (Status.DEGRADED, Status.FAILED)


@dataclass(frozen=True)
class Seen:
    """A tenant as it stands."""

    customer_id: str
    cell: str
    status: str
    since: datetime
    reason_code: str
    detail: str
    resource: str
    late: bool
    unknown_since: datetime | None
    flaps: int


@dataclass(frozen=True)
class Happened:
    """What a tenant was reported as, from when on."""

    at: datetime
    status: str
    reason_code: str
    detail: str


@dataclass(frozen=True)
class Fleet:
    """`tenants`: those that are on their way or in trouble, the longest first; `more` of them are
    left out.
    """

    statuses: Mapping[str, int]
    blind: Mapping[str, datetime]  # cells that cannot be seen, and since when
    tenants: tuple[Seen, ...]
    more: int


def read_fleet(service: Service) -> Fleet:
    with service.database.read() as session:
        now = service.now()
        blind = blind_cells(service, session, now)
        wanted = select(Tenant, Deployment).join(Deployment, _is_latest()).where(_needs_a_look())
        number = session.scalar(select(func.count()).select_from(wanted.subquery())) or 0
        rows = session.execute(wanted.order_by(Tenant.status_since).limit(AT_MOST)).all()
        seen = tuple(_seen(service, tenant, latest, blind, now) for tenant, latest in rows)
        return Fleet(count_statuses(session), blind, seen, number - len(seen))


def read_tenant(service: Service, customer_id: str) -> tuple[Seen, tuple[Happened, ...]]:
    """One tenant and its latest events, newest first; NotFound where there is none."""
    with service.database.read() as session:
        now = service.now()
        rows = select(Tenant, Deployment).join(Deployment, _is_latest())
        found = session.execute(rows.where(Tenant.customer_id == customer_id)).one_or_none()
        if found is None:
            raise no_customer(customer_id)
        seen = _seen(service, *found, blind_cells(service, session, now), now)
        return seen, _events(session, customer_id)


def _needs_a_look() -> ColumnElement[bool]:
    is_moving = Tenant.status.not_in(SETTLED)
    is_changing = and_(Deployment.outcome.is_(None), Deployment.generation > 1)
    is_unknown = Tenant.unknown_since.is_not(None)
    return or_(is_moving, Tenant.status.in_(TROUBLED), is_changing, is_unknown)


def _is_latest() -> ColumnElement[bool]:
    latest = (
        select(func.max(Deployment.generation))
        .where(Deployment.customer_id == Tenant.customer_id)
        .correlate(Tenant)
        .scalar_subquery()
    )
    return and_(Deployment.customer_id == Tenant.customer_id, Deployment.generation == latest)


def _seen(
    service: Service,
    tenant: Tenant,
    latest: Deployment,
    blind: dict[str, datetime],
    now: datetime,
) -> Seen:
    return Seen(
        customer_id=tenant.customer_id,
        cell=tenant.cell,
        status=tenant.status,
        since=tenant.status_since,
        reason_code=tenant.reason_code,
        detail=tenant.detail,
        resource=tenant.resource,
        late=is_late(tenant, latest, service.ready_within, now),
        unknown_since=unknown_since(service, tenant, blind, now),
        flaps=tenant.flaps,
    )


def _events(session: Session, customer_id: str) -> tuple[Happened, ...]:
    rows = select(Event).where(Event.customer_id == customer_id)
    latest = session.scalars(rows.order_by(Event.id.desc()).limit(EVENTS))
    return tuple(Happened(e.at, e.status, e.reason_code, e.detail) for e in latest)

"""What a tenant is reported as: written by publisher and watcher, read by pages and API.

Two things are told apart: what runs (`status` with its reason), and what is on its way (`change`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tenantry.adapters.database import tables
from tenantry.adapters.database.tables import Customer, Deployment, Event, Subscription, Tenant
from tenantry.adapters.vault import token_digest
from tenantry.core.errors import NotFound
from tenantry.core.model import SETTLED, Status, may_move
from tenantry.core.reasons import tell_customer
from tenantry.flows.accounts.waiting import is_waiting
from tenantry.flows.service import Service
from tenantry.flows.sight import blind_cells, is_late, unknown_since

log = structlog.get_logger()

StepState = Literal["done", "active", "waiting", "failed"]

# What a customer waits through, in order: code, label, and the deployment's column that dates it.
STEPS = (
    ("account", "Account created", "wanted_at"),
    ("license", "License issued", "wanted_at"),
    ("committed", "Configuration committed", "published_at"),
    ("syncing", "Synced to the cluster", "synced_at"),
    ("healthy", "Everything healthy", "healthy_at"),
    ("answering", "Instance answering", "ready_at"),
)


@dataclass(frozen=True)
class Step:
    """One step of the first deployment, and when it was reached."""

    code: str
    label: str
    at: datetime | None
    state: StepState


@dataclass(frozen=True)
class Change:
    """A change on its way to a tenant that runs already."""

    kind: str
    stage: Literal["in_review", "publishing", "syncing"]
    since: datetime


@dataclass(frozen=True)
class StatusView:
    """All that the customer's status page shows. `unknown_since`: the status is what was seen last
    before; `late`: what is on its way takes longer than it should; `flaps`: times that what ran
    went bad; `waits`: nothing begins yet, not even the trial.
    """

    customer_id: str
    company_name: str
    plan: str
    status: Status
    reason_code: str
    reason: str
    unknown_since: datetime | None
    late: bool
    flaps: int
    change: Change | None
    instance_url: str
    commit: str | None
    waits: bool
    is_paid: bool
    trial_ends_at: datetime
    time_zone: str
    signed_up_at: datetime
    steps: tuple[Step, ...]
    updated_at: datetime
    settled: bool


def read_status(service: Service, *, token: str, customer_id: str | None = None) -> StatusView:
    """The status that a link's random token opens; NotFound for every other token, and where the
    customer is not the link's.
    """
    with service.database.read() as session:
        customer = session.scalar(
            select(Customer).where(Customer.status_token_hash == token_digest(token))
        )
        if customer is None or customer_id not in (None, customer.customer_id):
            raise NotFound
        return view_of(service, session, customer)


def report(
    session: Session,
    tenant: Tenant,
    new: Status,
    reason_code: str,
    *,
    detail: str,
    now: datetime,
    resource: str = "",
) -> None:
    """Record what a tenant is now; an event where status or reason is another. Moves that
    `core.model.MOVES` does not know are refused: ValueError.
    """
    old = Status(tenant.status)
    if not may_move(old, new):
        raise ValueError(f"{tenant.customer_id} cannot go from {old} to {new}")
    tenant.detail, tenant.resource = detail, resource
    if (old, tenant.reason_code) == (new, reason_code):
        return
    if old != new:
        tenant.status_since = now
    tenant.status, tenant.reason_code = new, reason_code
    session.add(
        Event(
            at=now,
            customer_id=tenant.customer_id,
            status=new,
            reason_code=reason_code,
            detail=detail,
        )
    )
    log.info("tenant.status", customer_id=tenant.customer_id, status=new, reason=reason_code)


def view_of(service: Service, session: Session, customer: Customer) -> StatusView:
    """The customer's status, for those who may see it."""
    tenant = session.get_one(Tenant, customer.customer_id)
    subscription = session.get_one(Subscription, customer.customer_id)
    deployments = session.scalars(
        select(Deployment)
        .where(Deployment.customer_id == customer.customer_id)
        .order_by(Deployment.generation)
    ).all()
    status, now = Status(tenant.status), service.now()
    blind = blind_cells(service, session, now)
    change = _change(deployments[-1]) or _in_review(session, tenant)
    return StatusView(
        customer_id=customer.customer_id,
        company_name=customer.company_name,
        plan=subscription.plan,
        status=status,
        reason_code=tenant.reason_code,
        reason=tell_customer(tenant.reason_code, status),
        unknown_since=unknown_since(service, tenant, blind, now),
        late=is_late(tenant, deployments[-1], service.ready_within, now),
        flaps=tenant.flaps,
        change=change,
        instance_url=tenant.instance_url,
        commit=tenant.published_commit,
        waits=is_waiting(tenant),
        is_paid=subscription.paid_since is not None,
        trial_ends_at=subscription.trial_ends_at,
        time_zone=customer.time_zone,
        signed_up_at=customer.created_at,
        steps=_steps(deployments[0], status),
        updated_at=_updated_at(session, customer.customer_id),
        settled=_is_settled(status, change),
    )


def _is_settled(status: Status, change: Change | None) -> bool:
    """Whether nothing is expected to move soon."""
    is_changing = change is not None and change.stage != "in_review"
    return status in SETTLED and status is not Status.DEGRADED and not is_changing


def _updated_at(session: Session, customer_id: str) -> datetime:
    latest = session.scalar(select(func.max(Event.at)).where(Event.customer_id == customer_id))
    assert latest is not None, "every tenant has the event of its signup"  # noqa: S101
    return latest


def _change(latest: Deployment) -> Change | None:
    if latest.generation == 1 or latest.outcome is not None:
        return None
    stage: Literal["publishing", "syncing"] = (
        "publishing" if latest.published_at is None else "syncing"
    )
    return Change("update", stage, latest.published_at or latest.wanted_at)


def _in_review(session: Session, tenant: Tenant) -> Change | None:
    """The oldest change that waits for a person, to a tenant that runs."""
    if tenant.generation == 0:
        return None
    rows = select(tables.Change).where(
        tables.Change.customer_id == tenant.customer_id, tables.Change.outcome.is_(None)
    )
    waits = session.scalar(rows.order_by(tables.Change.id).limit(1))
    return Change(waits.kind, "in_review", waits.created_at) if waits else None


def _steps(first: Deployment, status: Status) -> tuple[Step, ...]:
    steps: list[Step] = []
    for code, label, column in STEPS:
        at = getattr(first, column)
        reached_so_far = all(step.state == "done" for step in steps)
        steps.append(Step(code, label, at, _step_state(at, reached_so_far, status)))
    return tuple(steps)


def _step_state(at: datetime | None, reached_so_far: bool, status: Status) -> StepState:
    if at is not None and reached_so_far:
        return "done"
    if not reached_so_far:
        return "waiting"
    return "failed" if status == Status.FAILED else "active"

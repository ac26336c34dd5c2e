"""What is written down of a look: what is remembered, what is told, when each step was reached."""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.database.session import insert_new
from tenantry.adapters.database.tables import Deployment, Tenant, Watch
from tenantry.core.backoff import has_passed
from tenantry.core.mail import MailKind
from tenantry.core.model import Status
from tenantry.core.readiness import Verdict
from tenantry.core.standing import Standing, Step
from tenantry.flows import outbox, status
from tenantry.flows.rows import was_ever_ready
from tenantry.flows.service import Cell, Service
from tenantry.flows.watching.watched import Watched, standing_of

log = structlog.get_logger()
SEEN_AGAIN = timedelta(seconds=10)  # how exact `watches.seen_at` is


def record(
    service: Service, tenant: Watched, step: Step, seen: Verdict, arrived: bool, now: datetime
) -> bool:
    """Write the step down; False where the row moved on since it was read, by a change on main or
    by another watcher: then it has to be judged anew. `seen` is the verdict of this look, told or
    not.
    """
    with service.database.write() as session:
        row = session.get_one(Tenant, tenant.spec.customer_id, with_for_update=True)
        if (row.published_generation, standing_of(row)) != (tenant.generation, tenant.standing):
            return False
        _remember(row, step.standing, now)
        if step.verdict is not None:
            _tell(session, row, step.verdict, now)
        if step.tells_support:
            _tell_of_failure(session, row, tenant.generation, now)
        if not seen.unknown:
            _date_deployments(session, row, seen, arrived, step, now)
    return True


def note_unknown(service: Service, tenant: Watched, now: datetime) -> None:
    """Nothing can be said of the tenant now: since when."""
    if tenant.standing.unknown_since is not None:
        return
    with service.database.write() as session:
        row = session.get_one(Tenant, tenant.spec.customer_id, with_for_update=True)
        row.unknown_since = row.unknown_since or now


def _remember(row: Tenant, standing: Standing, now: datetime) -> None:
    row.followed_generation = standing.generation
    row.application_uid = standing.uid
    row.unknown_since = standing.unknown_since
    row.unsettled_since = standing.unsettled_since
    row.flaps = standing.flaps
    row.sync_attempts = standing.attempts
    row.sync_asked_at = standing.asked_at
    row.support_told_at = (row.support_told_at or now) if standing.support_told else None


def _tell(session: Session, row: Tenant, verdict: Verdict, now: datetime) -> None:
    status.report(
        session,
        row,
        verdict.status,
        verdict.reason_code,
        detail=verdict.operator,
        resource=verdict.resource,
        now=now,
    )
    if verdict.status is Status.READY and verdict.reason_code == Status.READY:
        outbox.drop_unsent(session, row.customer_id, {MailKind.FAILED}, now=now)
        outbox.put(session, customer_id=row.customer_id, kind=MailKind.READY, now=now)


def _tell_of_failure(session: Session, row: Tenant, generation: int, now: datetime) -> None:
    """Support is told of each deployment; the customer of the first, who waits for an instance. One
    that runs is left as it is by a change that fails.
    """
    customer_id, period = row.customer_id, str(generation)
    outbox.put(session, customer_id=customer_id, kind=MailKind.SUPPORT, now=now, period=period)
    if not was_ever_ready(session, customer_id):
        outbox.put(session, customer_id=customer_id, kind=MailKind.FAILED, now=now)


def _date_deployments(
    session: Session, tenant: Tenant, seen: Verdict, arrived: bool, step: Step, now: datetime
) -> None:
    """The steps that the published generation, and those before it, have reached. One before it
    that failed stays so.
    """
    open_ones = select(Deployment).where(
        Deployment.customer_id == tenant.customer_id,
        Deployment.generation <= tenant.published_generation,
        Deployment.ready_at.is_(None),
        (Deployment.outcome.is_(None)) | (Deployment.generation == tenant.published_generation),
    )
    for row in session.scalars(open_ones):
        row.seen_at = row.seen_at or (now if seen.seen else None)
        row.synced_at = row.synced_at or (now if seen.synced else None)
        row.healthy_at = row.healthy_at or (now if seen.healthy else None)
        if arrived and step.verdict is not None:
            _close(row, tenant, now)
        elif step.tells_support or step.standing.status is Status.FAILED:
            row.outcome = "failed"


def _close(row: Deployment, tenant: Tenant, now: datetime) -> None:
    row.ready_at, row.outcome = now, "success"
    seconds = (now - row.wanted_at).total_seconds()
    log.info("deployment.done", customer_id=tenant.customer_id, seconds=seconds)


def note_answer(service: Service, cell: Cell, now: datetime) -> None:
    """Argo CD answered: what is known of the cell's tenants is as new as this."""
    with service.database.read() as session:
        row = session.get(Watch, cell.name)
        if row and not row.failing_since and not has_passed(SEEN_AGAIN, row.seen_at, now):
            return
    with service.database.write() as session:
        row = _watch(session, cell)
        row.seen_at, row.failing_since, row.last_error = now, None, None


def note_failure(service: Service, cell: Cell, said: str, now: datetime) -> None:
    """Argo CD, or main, could not be read: what was known stays, and is marked as old."""
    with service.database.write() as session:
        row = _watch(session, cell)
        row.failing_since, row.last_error = row.failing_since or now, said


def hinted_at(service: Service, cell: Cell) -> datetime | None:
    """When a notification last said that something moved."""
    with service.database.read() as session:
        return session.scalar(select(Watch.hinted_at).where(Watch.cell == cell.name))


def _watch(session: Session, cell: Cell) -> Watch:
    insert_new(session, Watch, [{"cell": cell.name}])
    return session.get_one(Watch, cell.name, with_for_update=True)

"""Tenants whose main is behind become commits (R30): the publisher's pass.

Owns: when a pass runs, and what its failure means for the next. One worker at a time publishes to
a repository, by a lease; failures make all of them wait, later each time. What customers wait for
goes first, then one batch of a change to many, so that neither waits for all of the other.

Concurrency: the lease saves work and nothing more. What keeps two publishers right is the remote's
ref, see `batch`.
"""

from __future__ import annotations

import structlog

from tenantry.core.errors import (
    DatabaseUnavailable,
    HistoryRewritten,
    LeaseLost,
    PushRefused,
    TenantryError,
)
from tenantry.flows import flags
from tenantry.flows.publishing import due, pace, retry
from tenantry.flows.publishing.ahead import sealing_ahead
from tenantry.flows.publishing.batch import Published, publish_batch
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()

__all__ = ["Published", "publish_due"]


def publish_due(service: Service, cell: Cell) -> Published:
    """Bring main closer to what the cell's tenants are wanted to be: one batch of what customers
    wait for, one of what is due with many others. Nothing where nothing is due, another worker is
    at it, or the repository failed a moment ago.

    Raises HistoryRewritten where an operator must act first, and what `flags` raises while
    operators want nothing pushed. Any other error but DatabaseUnavailable has been recorded, with
    the time of the next try. After any of them it is safe to call again.
    """
    if not _is_time(service, cell) or cell.lease.held_by_another() or not cell.lease.take():
        return Published()
    try:
        with cell.lease.kept():
            return _publish(service, cell)
    except LeaseLost as error:
        log.info("publish.lease_lost", cell=cell.name, detail=str(error))
        return Published()
    finally:
        cell.lease.release()


def _is_time(service: Service, cell: Cell) -> bool:
    now = service.now()
    with service.database.read() as session:
        if not due.is_any_due(session, cell, now):
            return False
        repository = retry.read_repository(session, cell)
    flags.require_publishing(service)
    if repository.halted:
        raise HistoryRewritten(repository.halted, retry_after=60.0)
    return retry.OF_REPOSITORY.is_over(repository.retry_at, now)


def _publish(service: Service, cell: Cell) -> Published:
    try:
        waited_for = _publish_lane(service, cell, is_bulk=False, limit=service.publish_batch)
        return waited_for | _publish_bulk(service, cell)
    except (LeaseLost, DatabaseUnavailable):
        raise
    except TenantryError as error:
        error.retry_after = retry.postpone_repository(service, cell, error)
        raise


def _publish_bulk(service: Service, cell: Cell) -> Published:
    """One batch of what is due with many others. That the server refuses all of it is no reason for
    signups to wait.
    """
    try:
        return _publish_lane(service, cell, is_bulk=True, limit=pace.bulk_allowance(service))
    except PushRefused as refusal:
        retry.postpone_bulk(service, cell, refusal)
        return Published(trouble=str(refusal))


def _publish_lane(service: Service, cell: Cell, *, is_bulk: bool, limit: int) -> Published:
    now = service.now()
    customers = due.customers_due(service, cell, is_bulk=is_bulk, limit=2 * limit, now=now)
    if not customers:
        return Published()
    with sealing_ahead(service, cell, customers[limit:]):
        return publish_batch(service, cell, customers[:limit])

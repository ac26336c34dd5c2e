"""Having a tenant published as it is wanted now: whatever changed, its generation is raised."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Audit, Change, Deployment, Review, Tenant
from tenantry.flows.audit_rows import audited
from tenantry.flows.publishing import retry


def raise_generation(
    session: Session,
    tenant: Tenant,
    *,
    action: str,
    actor: str,
    now: datetime,
    is_bulk: bool = False,
    replaces: str | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Have the tenant published as it is wanted now; `action` is what the audit calls it.

    In the caller's transaction, with the row locked. `is_bulk`: it is one of many, and gives way to
    what a customer waits for. `replaces`: what an operator lets the publisher overwrite on main.
    """
    is_waited_for = is_behind(tenant) and not tenant.is_bulk
    tenant.generation += 1
    tenant.is_bulk = is_bulk and not is_waited_for
    tenant.replaces = replaces or tenant.replaces
    _take_back(tenant)
    renew_branch(session, tenant.customer_id)
    session.add(
        Deployment(customer_id=tenant.customer_id, generation=tenant.generation, wanted_at=now)
    )
    session.add(_audited(action, tenant, actor, now, details))


def renew_branch(session: Session, customer_id: str) -> None:
    """Have the branch rendered anew on which changes to the customer's tenant wait, if some do."""
    waited_on = select(Change.review_id).where(
        Change.customer_id == customer_id, Change.outcome.is_(None)
    )
    session.execute(
        update(Review)
        .where(Review.id.in_(waited_on), Review.closed_at.is_(None))
        .values(generation=Review.generation + 1)
        .execution_options(synchronize_session=False)
    )


def try_again(
    session: Session,
    tenant: Tenant,
    *,
    actor: str,
    now: datetime,
    details: dict[str, Any] | None = None,
) -> None:
    """Let the tenant go on where it stopped, and at once, with nothing else about it changed. In
    the caller's transaction, with the row locked.
    """
    _take_back(tenant)
    session.add(_audited("tenant.retry", tenant, actor, now, details))


def is_behind(tenant: Tenant) -> bool:
    """Whether main does not show yet what is wanted of the tenant."""
    return tenant.generation > tenant.published_generation


def _take_back(tenant: Tenant) -> None:
    tenant.set_aside = None
    tenant.sync_attempts, tenant.sync_asked_at, tenant.support_told_at = 0, None, None
    retry.forget(tenant)


def _audited(
    action: str, tenant: Tenant, actor: str, now: datetime, details: dict[str, Any] | None
) -> Audit:
    told = {"generation": tenant.generation, **(details or {})}
    return audited(action, tenant.customer_id, actor=actor, now=now, **told)

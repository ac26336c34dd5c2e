"""A change to what a tenant is wanted to be: one thing, whatever its kind: raise the generation."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Audit, Deployment, Tenant
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
    session.add(
        Deployment(customer_id=tenant.customer_id, generation=tenant.generation, wanted_at=now)
    )
    session.add(_audit(tenant, action, actor, now, details))


def try_again(
    session: Session,
    tenant: Tenant,
    *,
    actor: str,
    now: datetime,
    details: dict[str, Any] | None = None,
) -> None:
    """Let the publisher try the tenant again, and at once, with nothing else about it changed. In
    the caller's transaction, with the row locked.
    """
    _take_back(tenant)
    session.add(_audit(tenant, "tenant.retry", actor, now, details))


def is_behind(tenant: Tenant) -> bool:
    """Whether main does not show yet what is wanted of the tenant."""
    return tenant.generation > tenant.published_generation


def _take_back(tenant: Tenant) -> None:
    tenant.set_aside = None
    retry.forget(tenant)


def _audit(
    tenant: Tenant, action: str, actor: str, now: datetime, details: dict[str, Any] | None
) -> Audit:
    return Audit(
        at=now,
        actor=actor,
        action=action,
        customer_id=tenant.customer_id,
        details={"generation": tenant.generation, **(details or {})},
    )

"""A change to what a tenant is wanted to be: one thing, whatever its kind: raise the generation."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Audit, Customer, Deployment, Tenant
from tenantry.core.errors import NotFound
from tenantry.core.model import TenantSpec
from tenantry.flows.service import Service


def rename_company(
    service: Service, customer_id: str, company_name: str, *, actor: str, now: datetime
) -> None:
    """Show another company name from now on; NotFound where there is no such customer."""
    with service.database.write() as session:
        customer = session.get(Customer, customer_id, with_for_update=True)
        if customer is None:
            raise NotFound(f"there is no customer {customer_id}")
        customer.company_name = company_name
        tenant = session.get_one(Tenant, customer_id, with_for_update=True)
        spec = TenantSpec.model_validate(tenant.approved)
        tenant.approved = spec.model_copy(update={"company": company_name}).model_dump(mode="json")
        raise_generation(session, tenant, action="customer.renamed", actor=actor, now=now)


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
    take_back(tenant)
    generation = tenant.generation
    session.add(Deployment(customer_id=tenant.customer_id, generation=generation, wanted_at=now))
    session.add(
        Audit(
            at=now,
            actor=actor,
            action=action,
            customer_id=tenant.customer_id,
            details={"generation": generation, **(details or {})},
        )
    )


def take_back(tenant: Tenant) -> None:
    """Let the publisher try the tenant again, and at once."""
    tenant.set_aside = None
    tenant.attempts, tenant.retry_at, tenant.last_error = 0, None, None


def is_behind(tenant: Tenant) -> bool:
    """Whether main does not show yet what is wanted of the tenant."""
    return tenant.generation > tenant.published_generation

"""A change to what a tenant is wanted to be: one thing, whatever its kind: raise the generation."""

from __future__ import annotations

from datetime import datetime
from typing import Any

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
        _approve(tenant, {"company": company_name})
        session.add(
            Deployment(customer_id=customer_id, generation=tenant.generation, wanted_at=now)
        )
        session.add(
            Audit(
                at=now,
                actor=actor,
                action="customer.renamed",
                customer_id=customer_id,
                details={"generation": tenant.generation},
            )
        )


def _approve(tenant: Tenant, fields: dict[str, Any]) -> None:
    spec = TenantSpec.model_validate(tenant.approved).model_copy(update=fields)
    tenant.approved = spec.model_dump(mode="json")
    tenant.generation += 1
    tenant.set_aside = None

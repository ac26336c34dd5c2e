"""A change to one tenant, as tests make them: its company is called something else."""

from __future__ import annotations

from datetime import datetime

from tenantry.adapters.database.tables import Customer, Tenant
from tenantry.core.model import TenantSpec
from tenantry.flows import generation
from tenantry.flows.service import Service


def rename_company(
    service: Service, customer_id: str, company_name: str, *, actor: str, now: datetime
) -> None:
    """Show another company name from now on."""
    with service.database.write() as session:
        tenant = session.get_one(Tenant, customer_id, with_for_update=True)
        session.get_one(Customer, customer_id).company_name = company_name
        spec = TenantSpec.model_validate(tenant.approved)
        tenant.approved = spec.model_copy(update={"company": company_name}).model_dump(mode="json")
        generation.raise_generation(
            session, tenant, action="customer.renamed", actor=actor, now=now
        )

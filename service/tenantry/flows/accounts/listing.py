"""Customers as operators list them: to decide about one, they have to see who it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import select

from tenantry.adapters.database.tables import Customer, Tenant
from tenantry.flows.accounts.waiting import IS_WAITING, is_waiting
from tenantry.flows.service import Service


@dataclass(frozen=True)
class Account:
    """A customer in an operator's list."""

    customer_id: str
    email: str
    company_name: str
    created_at: datetime
    email_confirmed_at: datetime | None
    approved_at: datetime | None
    waits_for: str | None  # a reason code

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
        }

    def as_text(self) -> str:
        """For people."""
        facts = (f"{self.created_at:%Y-%m-%d %H:%M}", self.email, self.company_name)
        return "  ".join((self.customer_id, *facts, self.waits_for or "-"))


def list_accounts(service: Service, *, waiting: bool) -> Sequence[Account]:
    """All customers, or those who wait, the oldest first; erased ones are nobody any more."""
    rows = (
        select(Customer, Tenant)
        .join(Tenant, Tenant.customer_id == Customer.customer_id)
        .where(Customer.erased_at.is_(None))
        .order_by(Customer.created_at, Customer.customer_id)
    )
    if waiting:
        rows = rows.where(IS_WAITING)
    with service.database.read() as session:
        return [_account(*row) for row in session.execute(rows)]


def _account(customer: Customer, tenant: Tenant) -> Account:
    return Account(
        customer.customer_id,
        customer.email,
        customer.company_name,
        customer.created_at,
        customer.email_confirmed_at,
        customer.approved_at,
        tenant.reason_code if is_waiting(tenant) else None,
    )

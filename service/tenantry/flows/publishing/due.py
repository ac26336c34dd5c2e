"""Tenants that are due: which they are, and their rows as the publisher reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Tenant
from tenantry.core import naming
from tenantry.core.edits import Edit
from tenantry.core.errors import OverlayRefused
from tenantry.core.model import TenantSpec
from tenantry.flows.publishing import ledger
from tenantry.flows.publishing.ledger import Push, Refusal
from tenantry.flows.publishing.retry import OF_TENANT, may_try
from tenantry.flows.rows import IS_DUE
from tenantry.flows.service import Cell, Service


@dataclass(frozen=True)
class Due:
    """A tenant that is due, as its row was read."""

    spec: TenantSpec
    generation: int
    accepted_tree: str | None
    accepted_commit: str | None
    intended: frozenset[Push]  # what was about to be pushed when a pass ended early
    replaces: str | None  # what an operator lets us replace
    edit: Edit | None = None  # by hand, that `accepted_tree` keeps

    @property
    def folder(self) -> str:
        return naming.folder(self.spec.name)


@dataclass(frozen=True)
class Read:
    """Rows that were read: those that can be published and, by customer, those that cannot."""

    due: Sequence[Due]
    refused: Mapping[str, Refusal]


def customers_due(
    service: Service, cell: Cell, *, is_bulk: bool, limit: int, now: datetime
) -> list[str]:
    """Customers whose tenants are due, and whose own wait is over; signups before changes."""
    due = (
        _due_now(cell, now)
        .where(Tenant.is_bulk.is_(is_bulk))
        .order_by(Tenant.published_generation > 0, Tenant.customer_id)
        .limit(limit)
    )
    with service.database.read() as session:
        return list(session.scalars(due))


def is_any_due(session: Session, cell: Cell, now: datetime) -> bool:
    """Whether there is anything to publish."""
    return session.scalar(_due_now(cell, now).limit(1)) is not None


def read_due(service: Service, cell: Cell, customer_ids: Sequence[str]) -> Read:
    """Those of the customers' tenants that are due now, whether they wait or not."""
    rows = select(Tenant).where(
        IS_DUE, Tenant.cell == cell.name, Tenant.customer_id.in_(customer_ids)
    )
    due, refused = [], {}
    with service.database.read() as session:
        tenants = session.scalars(rows.order_by(Tenant.customer_id)).all()
        intended = ledger.intended(session, customer_ids)
        for tenant in tenants:
            try:
                due.append(_due(tenant, frozenset(intended.get(tenant.customer_id, ()))))
            except ValidationError:
                error = OverlayRefused([f"{tenant.name}: what is wanted of it is not readable"])
                refused[tenant.customer_id] = Refusal(tenant.generation, error)
    return Read(due, refused)


def _due_now(cell: Cell, now: datetime) -> Select[str]:
    may_be_tried = may_try(Tenant.retry_at, OF_TENANT, now)
    return select(Tenant.customer_id).where(IS_DUE, Tenant.cell == cell.name, may_be_tried)


def _due(tenant: Tenant, intended: frozenset[Push]) -> Due:
    return Due(
        spec=TenantSpec.model_validate(tenant.approved),
        generation=tenant.generation,
        accepted_tree=tenant.accepted_tree,
        accepted_commit=tenant.published_commit,
        intended=intended,
        replaces=tenant.replaces,
        edit=ledger.edit_of(tenant),
    )

"""Tenants whose main is behind: which they are, and their rows as the publisher reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Tenant
from tenantry.core import naming
from tenantry.core.errors import OverlayRefused
from tenantry.core.model import TenantSpec
from tenantry.flows import ledger
from tenantry.flows.ledger import Push, Refusal
from tenantry.flows.retry import may_try
from tenantry.flows.service import Cell, Service


@dataclass(frozen=True)
class Due:
    """A tenant whose main is behind, as its row was read."""

    spec: TenantSpec
    generation: int
    accepted_tree: str | None
    accepted_commit: str | None
    intended: frozenset[Push]  # what was about to be pushed when a pass ended early
    replaces: str | None  # what an operator lets us replace

    @property
    def folder(self) -> str:
        return naming.folder(self.spec.name)


@dataclass(frozen=True)
class Read:
    """Rows that were read: those that can be published and, by customer, those that cannot."""

    due: Sequence[Due]
    refused: Mapping[str, Refusal]


def customers_behind(
    service: Service, cell: Cell, *, is_bulk: bool, limit: int, now: datetime
) -> list[str]:
    """Customers whose tenants are due, and whose own wait is over; signups before changes."""
    behind = (
        select(Tenant.customer_id)
        .where(*_is_behind(cell), Tenant.is_bulk.is_(is_bulk), may_try(Tenant, now))
        .order_by(Tenant.published_generation > 0, Tenant.customer_id)
        .limit(limit)
    )
    with service.database.read() as session:
        return list(session.scalars(behind))


def is_any_behind(session: Session, cell: Cell, now: datetime) -> bool:
    """Whether there is anything to publish."""
    behind = select(Tenant.customer_id).where(*_is_behind(cell), may_try(Tenant, now)).limit(1)
    return session.scalar(behind) is not None


def read_due(service: Service, cell: Cell, customer_ids: Sequence[str]) -> Read:
    """Those of the customers' tenants that are behind now."""
    rows = select(Tenant).where(*_is_behind(cell), Tenant.customer_id.in_(customer_ids))
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


def _is_behind(cell: Cell) -> tuple[ColumnElement[bool], ...]:
    return (
        Tenant.cell == cell.name,
        Tenant.generation > Tenant.published_generation,
        Tenant.set_aside.is_(None),
    )


def _due(tenant: Tenant, intended: frozenset[Push]) -> Due:
    return Due(
        spec=TenantSpec.model_validate(tenant.approved),
        generation=tenant.generation,
        accepted_tree=tenant.accepted_tree,
        accepted_commit=tenant.published_commit,
        intended=intended,
        replaces=tenant.replaces,
    )

"""Tenants' rows: which of them the publisher has to act on, and in which order they and their
customers' rows are locked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVarTuple

from sqlalchemy import Select, and_, select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Customer, Deployment, Tenant
from tenantry.core.errors import NotFound

Columns = TypeVarTuple("Columns")

# Main does not show yet what is wanted of it: `is_behind` of a row that was read.
IS_BEHIND = Tenant.generation > Tenant.published_generation
# The publisher is about to publish it: nothing keeps main from being brought up.
IS_DUE = and_(IS_BEHIND, Tenant.set_aside.is_(None))


def lock(rows: Select[*Columns]) -> Select[*Columns]:
    """The tenants' rows, locked in the one order in which everybody locks them; before any other
    row of these customers.
    """
    return rows.order_by(Tenant.customer_id).with_for_update()


def in_order(rows: Select[*Columns], customer_ids: Iterable[str]) -> Select[*Columns]:
    """Of the rows those of these customers, locked in that order."""
    return lock(rows.where(Tenant.customer_id.in_(list(customer_ids))))


def locked(session: Session, customer_ids: Iterable[str]) -> Sequence[Tenant]:
    """These customers' tenants, locked in that order."""
    return session.scalars(in_order(select(Tenant), customer_ids)).all()


def locked_if_free(session: Session, customer_id: str) -> Tenant | None:
    """The customer's tenant, locked; None where somebody else has it locked, or there is none."""
    rows = select(Tenant).where(Tenant.customer_id == customer_id)
    return session.scalar(rows.with_for_update(skip_locked=True))


def locked_of_cell(session: Session, cell: str, customer_id: str) -> Tenant:
    """The tenant, locked; NotFound where the cell has no such tenant."""
    for tenant in locked(session, [customer_id]):
        if tenant.cell == cell:
            return tenant
    raise NotFound(f"cell {cell} has no tenant {customer_id}")


def locked_customer(
    session: Session, customer_id: str, *, even_erased: bool = False
) -> tuple[Tenant, Customer]:
    """The customer's tenant and its own row, locked in that order; NotFound where there is none, or
    nobody any more.
    """
    for tenant in locked(session, [customer_id]):
        customer = session.get_one(Customer, customer_id, with_for_update=True)
        if even_erased or customer.erased_at is None:
            return tenant, customer
    raise no_customer(customer_id)


def no_customer(customer_id: str) -> NotFound:
    """What is raised where there is none."""
    return NotFound(f"there is no customer {customer_id}", remedy="see `tenantry tenants list`")


def was_ever_ready(session: Session, customer_id: str) -> bool:
    """Whether a deployment of the tenant has ever arrived; before, it is being set up."""
    arrived = select(Deployment.id).where(
        Deployment.customer_id == customer_id, Deployment.ready_at.is_not(None)
    )
    return session.scalar(arrived.limit(1)) is not None

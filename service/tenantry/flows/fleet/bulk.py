"""What changes to many tenants have in common: they are gone through page by page.

Each page is a few transactions of its own, in the order of customer ids: what was done stays done,
and a command that was stopped goes on where it ended. No more than one page of rows is held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from tenantry.adapters.database.session import write_in_turn
from tenantry.adapters.database.tables import Tenant
from tenantry.flows.rows import locked
from tenantry.flows.service import Cell, Service

PAGE = 500  # tenants
AT_ONCE = 20  # tenants in one transaction: customers wait for its end
ACTOR = "operator"

T = TypeVar("T")


@dataclass(frozen=True)
class Selection:
    """Which of a cell's tenants a command is about: all, or those that were named."""

    named: frozenset[str] | None = None  # customer ids
    after: str = ""  # the customer id that an earlier run ended with


@dataclass(frozen=True)
class Marked:
    """A page that was gone through: what was marked for publication, and what went wrong."""

    looked_at: int
    generations: Mapping[str, int] = field(default_factory=dict)  # of marked, by customer id
    failed: Mapping[str, str] = field(default_factory=dict)  # why, by customer id
    last: str = ""  # customer id that the page ended with


def count(service: Service, cell: Cell, selection: Selection) -> int:
    """How many tenants there are to go through."""
    here = (*_on_main(cell), Tenant.customer_id > selection.after)
    rows = select(func.count()).select_from(Tenant).where(*here)
    with service.database.read() as session:
        if selection.named is None:
            return session.scalar(rows) or 0
        parts = split(selection.named, PAGE)
        return sum(session.scalar(rows.where(Tenant.customer_id.in_(p))) or 0 for p in parts)


def pages(service: Service, cell: Cell, selection: Selection) -> Iterator[Sequence[str]]:
    """The customer ids of the cell's tenants, a page at a time."""
    last = selection.after
    named = sorted(each for each in selection.named or () if each > last)
    while selection.named is None or named:
        here: list[ColumnElement[bool]] = [*_on_main(cell), Tenant.customer_id > last]
        if selection.named is not None:
            here.append(Tenant.customer_id.in_(named[:PAGE]))
            named = named[PAGE:]
        with service.database.read() as session:
            ids = select(Tenant.customer_id).where(*here).order_by(Tenant.customer_id).limit(PAGE)
            page = session.scalars(ids).all()
        if page:
            yield page
            last = page[-1]
        elif selection.named is None:
            return


def mark(
    service: Service,
    customer_ids: Iterable[str],
    change: Callable[[Session, Sequence[Tenant]], Iterable[Tenant]],
) -> dict[str, int]:
    """Change these customers' tenants by `change`, which gets some of them at a time, locked, and
    says which are to be published; their generations. Others may write in between.
    """
    marked: dict[str, int] = {}
    for part in split(customer_ids, AT_ONCE):
        with write_in_turn(service.database) as session:
            tenants = change(session, locked(session, part))
            marked |= {each.customer_id: each.generation for each in tenants}
    return marked


def _on_main(cell: Cell) -> tuple[ColumnElement[bool], ...]:
    """Of the cell, but for those whose signup waits for a review: nothing of them is for main."""
    return Tenant.cell == cell.name, Tenant.generation > 0


def unknown(service: Service, cells: Iterable[Cell], customer_ids: Iterable[str]) -> list[str]:
    """Those of the customer ids that have no tenant in any of the cells."""
    names = [cell.name for cell in cells]
    left = set(customer_ids)
    for page in split(sorted(left), PAGE):
        known = select(Tenant.customer_id).where(
            Tenant.customer_id.in_(page), Tenant.cell.in_(names)
        )
        with service.database.read() as session:
            left -= set(session.scalars(known))
    return sorted(left)


def split(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """The values in lists of at most `size`."""
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part

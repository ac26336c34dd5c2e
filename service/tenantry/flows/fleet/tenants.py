"""The tenants, as an operator lists them and takes them back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from sqlalchemy import select

from tenantry.adapters.database.tables import Tenant
from tenantry.flows.change import is_behind, try_again
from tenantry.flows.fleet import bulk
from tenantry.flows.fleet.bulk import ACTOR, PAGE, Marked, Selection
from tenantry.flows.rows import locked
from tenantry.flows.service import Cell, Service


@dataclass(frozen=True)
class Listed:
    """A tenant in a list for operators: ids and facts, no personal data."""

    customer_id: str
    cell: str
    status: str
    generation: int
    published_generation: int
    set_aside: str | None
    last_error: str | None

    @property
    def is_behind(self) -> bool:
        return self.generation > self.published_generation

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {**asdict(self), "behind": self.is_behind}

    def as_text(self) -> str:
        """For people."""
        published = f"{self.published_generation} of {self.generation}"
        reason = self.set_aside or self.last_error or ""
        note = f"  {'set aside' if self.set_aside else 'failed'}: {reason}" if reason else ""
        return f"{self.customer_id}  {self.cell}  {self.status}  published {published}{note}"


def list_tenants(
    service: Service,
    cell: Cell,
    *,
    status: str | None = None,
    set_aside: bool = False,
    behind: bool = False,
) -> Iterator[Listed]:
    """The cell's tenants, by customer id: all, or those to which all of this applies."""
    wanted = [Tenant.cell == cell.name]
    wanted += [Tenant.status == status] if status else []
    wanted += [Tenant.set_aside.is_not(None)] if set_aside else []
    wanted += [Tenant.generation > Tenant.published_generation] if behind else []
    names = list(Listed.__dataclass_fields__)
    columns = [getattr(Tenant, name) for name in names]
    last = ""
    while True:
        rows = select(*columns).where(*wanted, Tenant.customer_id > last)
        with service.database.read() as session:
            page = session.execute(rows.order_by(Tenant.customer_id).limit(PAGE)).all()
        for row in page:
            yield Listed(**dict(zip(names, row, strict=True)))
        if len(page) < PAGE:
            return
        last = page[-1].customer_id


def mark_to_retry(service: Service, cell: Cell, selection: Selection) -> Iterator[Marked]:
    """Let tenants go on where they stopped: the publisher tries those again that it set aside, or
    that wait after a failure; Argo CD is asked again to sync those that main shows. Nothing else
    about them changes.
    """
    for page in bulk.pages(service, cell, selection):
        now = service.now()
        with service.database.write() as session:
            tenants = [each for each in locked(session, page) if _has_stopped(each)]
            for each in tenants:
                try_again(session, each, actor=ACTOR, now=now)
            marked = {each.customer_id: each.generation for each in tenants}
        yield Marked(len(page), marked, last=page[-1])


def _has_stopped(tenant: Tenant) -> bool:
    return is_behind(tenant) or tenant.sync_attempts > 0 or tenant.support_told_at is not None

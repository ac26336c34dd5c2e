"""The tenants, as an operator lists them and takes them back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Subscription, Tenant
from tenantry.flows.fleet import bulk
from tenantry.flows.fleet.bulk import ACTOR, PAGE, Marked, Selection
from tenantry.flows.generation import is_behind, try_again
from tenantry.flows.rows import IS_BEHIND
from tenantry.flows.service import Cell, Service


@dataclass(frozen=True)
class Listed:
    """A tenant in a list for operators: ids and facts, no personal data. `stage` is that of its
    subscription, as a worker last looked.
    """

    customer_id: str
    cell: str
    status: str
    generation: int
    published_generation: int
    set_aside: str | None
    last_error: str | None
    plan: str
    stage: str
    trial_ends_at: datetime
    paid_until: datetime | None
    instance_url: str

    @property
    def is_behind(self) -> bool:
        return self.generation > self.published_generation

    def as_json(self) -> dict[str, object]:
        """For programs."""
        moments = {
            "trial_ends_at": self.trial_ends_at.isoformat(),
            "paid_until": self.paid_until.isoformat() if self.paid_until else None,
        }
        return {**asdict(self), **moments, "behind": self.is_behind}

    def as_text(self) -> str:
        """For people."""
        published = f"{self.published_generation} of {self.generation}"
        reason = self.set_aside or self.last_error or ""
        note = f"  {'set aside' if self.set_aside else 'failed'}: {reason}" if reason else ""
        booked = f"{self.plan} {self.stage}"
        return (
            f"{self.customer_id}  {self.cell}  {self.status}  {booked}  published {published}{note}"
        )


_IS_ITS = Tenant.customer_id == Subscription.customer_id
_BOOKED = {
    "plan": Subscription.plan,
    "stage": Subscription.status.label("stage"),
    "trial_ends_at": Subscription.trial_ends_at,
    "paid_until": Subscription.paid_until,
}


def list_tenants(
    service: Service,
    cell: Cell,
    *,
    status: str | None = None,
    stage: str | None = None,
    set_aside: bool = False,
    behind: bool = False,
) -> Iterator[Listed]:
    """The cell's tenants, by customer id: all, or those to which all of this applies."""
    wanted = [Tenant.cell == cell.name]
    wanted += [Tenant.status == status] if status else []
    wanted += [Subscription.status == stage] if stage else []
    wanted += [Tenant.set_aside.is_not(None)] if set_aside else []
    wanted += [IS_BEHIND] if behind else []
    names = list(Listed.__dataclass_fields__)
    columns = [_BOOKED[name] if name in _BOOKED else getattr(Tenant, name) for name in names]
    all_rows = select(*columns).join_from(Tenant, Subscription, _IS_ITS)
    last = ""
    while True:
        rows = all_rows.where(*wanted, Tenant.customer_id > last)
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

    def change(session: Session, tenants: Sequence[Tenant]) -> list[Tenant]:
        stopped = [each for each in tenants if _has_stopped(each)]
        for each in stopped:
            try_again(session, each, actor=ACTOR, now=service.now())
        return stopped

    for page in bulk.pages(service, cell, selection):
        yield Marked(len(page), bulk.mark(service, page, change), last=page[-1])


def _has_stopped(tenant: Tenant) -> bool:
    return is_behind(tenant) or tenant.sync_attempts > 0 or tenant.support_told_at is not None

"""The changes of a cell as operators look at them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from tenantry.adapters.database.tables import Change, Review, Tenant
from tenantry.flows.service import Cell, Service


@dataclass(frozen=True)
class Listed:
    """A change in a list for operators: ids and facts, no personal data."""

    id: int
    customer_id: str
    kind: str
    fields: Mapping[str, Any]
    actor: str
    mode: str
    created_at: datetime
    outcome: str | None
    decided_by: str | None
    decided_at: datetime | None
    branch: str | None
    url: str | None
    error: str | None  # why its branch or pull request could not be brought up to it

    def as_json(self) -> dict[str, object]:
        """For programs."""
        dates = {
            name: moment.isoformat() if moment else None
            for name, moment in (("created_at", self.created_at), ("decided_at", self.decided_at))
        }
        return {**asdict(self), **dates}

    def as_text(self) -> str:
        """For people."""
        what = ", ".join(
            f"{name} {value}" for name, value in self.fields.items() if _is_short(value)
        )
        outcome = self.outcome or f"waits on {self.url or self.branch or 'its branch'}"
        by = f" by {self.decided_by}" if self.decided_by else ""
        error = f"  failed: {self.error}" if self.error and not self.outcome else ""
        return f"{self.customer_id}  {self.kind}  {what or '-'}  {outcome}{by}{error}"


def list_changes(
    service: Service, cell: Cell, *, open_only: bool, customer_id: str | None = None
) -> Iterator[Listed]:
    """The cell's changes, newest first; with `open_only` those that wait."""
    rows = (
        select(Change, Review)
        .join(Tenant, Tenant.customer_id == Change.customer_id)
        .outerjoin(Review, Review.id == Change.review_id)
        .where(Tenant.cell == cell.name)
        .order_by(Change.id.desc())
    )
    if open_only:
        rows = rows.where(Change.outcome.is_(None))
    if customer_id:
        rows = rows.where(Change.customer_id == customer_id)
    with service.database.read() as session:
        found = [_listed(change, review) for change, review in session.execute(rows)]
    yield from found


def _listed(change: Change, review: Review | None) -> Listed:
    own = {
        name: getattr(change, name)
        for name in Listed.__dataclass_fields__
        if name not in ("branch", "url", "error")
    }
    if review is None:
        return Listed(**own, branch=None, url=None, error=None)
    return Listed(**own, branch=review.branch, url=review.url, error=review.last_error)


def _is_short(value: object) -> bool:
    return isinstance(value, str)

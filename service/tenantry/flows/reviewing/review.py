"""The reviewer's pass: what people did is taken up, then branches and pull requests follow.

One worker at a time does it for a cell, by a lease that only saves work; each step starts from
what database, Git and forge say, so a pass may die anywhere and be run again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.database.lease import Lease
from tenantry.adapters.database.tables import Change, Review, Tenant
from tenantry.flows import flags
from tenantry.flows.publishing import history, retry
from tenantry.flows.publishing.shards import follow_main
from tenantry.flows.reviewing.propose import due, propose_due
from tenantry.flows.reviewing.pulls import Pulls
from tenantry.flows.reviewing.settle import settle
from tenantry.flows.reviewing.sweep import sweep
from tenantry.flows.service import Cell, Service


@dataclass
class Reviewer:
    """Follows the reviews of one cell; call `look` again and again."""

    service: Service
    cell: Cell
    every: timedelta  # between looks for what people did, where no webhook tells of it
    _looked_at: datetime | None = None
    _pulls: Pulls | None = field(init=False)
    _lease: Lease = field(init=False)

    def __post_init__(self) -> None:
        forge = self.cell.forge
        self._pulls = Pulls(self.service, self.cell, forge) if forge else None
        self._lease = Lease(self.service.database, f"reviewer/{self.cell.name}")

    def look(self) -> None:
        """One pass, if it is time for one. Raises RepositoryError where main cannot be read; what
        is wrong with one review is recorded there. While operators want nothing pushed, it raises
        what `flags` does, and what people merge is taken up afterwards.
        """
        if not self._is_time():
            return
        flags.require_publishing(self.service)
        if not self._lease.take():
            return
        try:
            with self._lease.kept():
                self._pass()
        finally:
            self._lease.release()

    def _pass(self) -> None:
        self._looked_at = self.service.now()
        _, head = history.fetch(self.service, self.cell)
        if settle(self.service, self.cell, head):
            follow_main(self.service, self.cell)
        if propose_due(self.service, self.cell, head):
            self.cell.repository.fetch()
        if self._pulls:
            self._pulls.follow()
        sweep(self.service, self.cell)

    def _is_time(self) -> bool:
        """Where nothing waits, this is two queries."""
        now, last = self.service.now(), self._looked_at
        is_late = last is None or not last <= now < last + self.every
        with self.service.database.read() as session:
            if _is_any_due(session, self.cell, now):
                return True
            hinted_at = retry.read_repository(session, self.cell).hinted_at
            is_hinted = hinted_at is not None and (last is None or last < hinted_at <= now)
            return (is_late or is_hinted) and _was_any(session, self.cell)


def _is_any_due(session: Session, cell: Cell, now: datetime) -> bool:
    """Whether a signup waits for a branch, or a branch is behind."""
    signups = (
        select(Change.id)
        .join(Tenant, Tenant.customer_id == Change.customer_id)
        .where(Tenant.cell == cell.name, Change.outcome.is_(None), Change.review_id.is_(None))
    )
    return any(session.scalar(rows.limit(1)) is not None for rows in (signups, due(cell, now)))


def _was_any(session: Session, cell: Cell) -> bool:
    """Whether there ever was a review, which somebody may merge, reopen or take back."""
    rows = select(Review.id).where(Review.cell == cell.name)
    return session.scalar(rows.limit(1)) is not None

"""Pull requests at the forge follow the branches, and what reviewers do there is noticed.

Owns: which pull request a review has, and what its text says. A forge's word is a hint: that
something was merged is seen in Git; that a pull request was closed ends what waits on it.

A forge that asks for patience is left alone for that long, and what it has been told is on record,
so that a restart asks for nothing again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import or_, select

from tenantry.adapters.database.tables import Change, Review
from tenantry.adapters.forge import Draft, Forge, Pull, PullState
from tenantry.core.errors import ForgeBusy, ForgeError, ForgeNotFound, TenantryError
from tenantry.core.review import BRANCHES, Outcome
from tenantry.flows.publishing.retry import OF_TENANT
from tenantry.flows.reviewing.declining import decline_review, reopen_review
from tenantry.flows.reviewing.describe import describe
from tenantry.flows.reviewing.waiting import waiting_on
from tenantry.flows.reviewing.wanted import read_wanted, subjects_at
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()
BUSY_FOR = timedelta(minutes=1)  # where a forge does not say how long
ENDED = "closed"  # in place of a commit: there is nothing more to tell


@dataclass
class Pulls:
    """The pull requests of one cell; losing it costs requests, not truth."""

    service: Service
    cell: Cell
    forge: Forge
    _silent_until: datetime | None = None
    _failures: dict[int, tuple[int, datetime]] = field(default_factory=dict)  # by review: retry at

    def follow(self) -> None:
        """Notice what reviewers did at the forge, and bring it up to the branches. What fails is
        tried again later, and keeps nothing else from being done.
        """
        now = self.service.now()
        if self._silent_until and now < self._silent_until:
            return
        try:
            for step in (self._notice, self._close_moot, self._tell_all):
                self._try(step)
        except ForgeBusy as error:
            wait = timedelta(seconds=error.retry_after) if error.retry_after else BUSY_FOR
            self._silent_until = now + wait
            log.warning("forge.busy", cell=self.cell.name, seconds=wait.total_seconds())

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except ForgeBusy:
            raise
        except ForgeError as error:
            log.warning("forge.failed", cell=self.cell.name, code=error.code, detail=str(error))

    def _notice(self) -> None:
        reviews = {each.number: each for each in self._open() if each.number}
        recent = {pull.number: pull for pull in self.forge.recent()} if reviews else {}
        for number, review in reviews.items():
            seen = recent.get(number)
            if seen or review.declined_at is None:  # one that is reopened is among the recent
                self._try(partial(self._heed, review, number, seen))

    def _heed(self, review: Review, number: int, seen: Pull | None) -> None:
        """Do as one pull request says."""
        try:
            pull = seen or self.forge.get(number)
        except ForgeNotFound:
            pull = None
        if pull is None or pull.branch != review.branch:  # another project's by now, or deleted
            self._forget(review)
        elif pull.state == PullState.CLOSED and review.declined_at is None:
            by = pull.closed_by or self.forge.get(number).closed_by
            decline_review(self.service, review.id, by or "who closed it")
        elif pull.state == PullState.OPEN and review.declined_at is not None:
            self._reopen(review, number)
        elif pull.state == PullState.MERGED and self._was_taken_up(review):
            self._forget(review)

    def _reopen(self, review: Review, number: int) -> None:
        """Go on, unless it was the branch that went: some forges leave that open."""
        if review.branch in self.cell.repository.branches(BRANCHES):
            reopen_review(self.service, review.id)
        else:
            self.forge.close(number)

    def _was_taken_up(self, review: Review) -> bool:
        """Whether the merge was seen in Git, so that what still waits needs another one."""
        rows = select(Change.id).where(
            Change.review_id == review.id, Change.outcome == Outcome.APPLIED
        )
        with self.service.database.read() as session:
            return session.scalar(rows.limit(1)) is not None

    def _forget(self, review: Review) -> None:
        with self.service.database.write() as session:
            row = session.get_one(Review, review.id, with_for_update=True)
            row.number = row.url = row.told = None

    def _tell_all(self) -> None:
        for review in self._open():
            is_behind = review.pushed_generation and review.told != review.head
            if review.declined_at is None and is_behind:
                self._attempt(review, partial(self._tell, review))

    def _attempt(self, review: Review, step: Callable[[], None]) -> bool:
        """Whether it is done; what fails is done later, after a wait of this review's own."""
        if not self._may_try(review):
            return False
        try:
            step()
        except ForgeBusy:
            raise
        except TenantryError as error:
            self._postpone(review, error)
            return False
        self._failures.pop(review.id, None)
        return True

    def _may_try(self, review: Review) -> bool:
        retry_at = self._failures.get(review.id, (0, None))[1]
        return OF_TENANT.is_over(retry_at, self.service.now())

    def _postpone(self, review: Review, error: TenantryError) -> None:
        """Wait before it is told again: the branch itself waits for no forge."""
        failures = self._failures.get(review.id, (0, None))[0] + 1
        wait = OF_TENANT.wait(failures, random.random())  # noqa: S311 - no secret
        self._failures[review.id] = (failures, self.service.now() + wait)
        with self.service.database.write() as session:
            session.get_one(Review, review.id, with_for_update=True).last_error = str(error)
        log.warning("review.not_told", branch=review.branch, detail=str(error))

    def _tell(self, review: Review) -> None:
        with self.service.database.read() as session:
            ids = waiting_on(session, review.id)
            wanted = read_wanted(self.service, session, self.cell, ids)
        head = self.cell.repository.head()
        subjects = subjects_at(self.service, self.cell, wanted, head, review.head)
        if not subjects:
            return
        text = describe(self.service, self.cell, subjects, limit=self.forge.body_limit)
        pull = self._bring(review, Draft(review.branch, text.title, text.body))
        with self.service.database.write() as session:
            row = session.get_one(Review, review.id, with_for_update=True)
            row.number, row.url, row.told, row.last_error = (
                pull.number, pull.url, review.head, None,
            )  # fmt: skip
        log.info("review.told", branch=review.branch, number=pull.number)

    def _bring(self, review: Review, draft: Draft) -> Pull:
        """A text that was merged stays: it is the record of what was approved."""
        if review.number is None or self.forge.get(review.number).state == PullState.MERGED:
            return self.forge.open(draft)
        return self.forge.update(review.number, draft)

    def _close_moot(self) -> None:
        """Close the pull requests that nothing waits on any longer; one that was merged is."""
        rows = select(Review).where(
            Review.cell == self.cell.name,
            Review.closed_at.is_not(None),
            Review.number.is_not(None),
            or_(Review.told.is_(None), Review.told != ENDED),
        )
        with self.service.database.read() as session:
            moot = session.scalars(rows).all()
        goes_on = {each.number for each in self._open()} if moot else set()
        for review in moot:
            if review.number in goes_on or self._attempt(review, partial(self._close, review)):
                with self.service.database.write() as session:
                    row = session.get_one(Review, review.id, with_for_update=True)
                    row.told, row.last_error = ENDED, None

    def _close(self, review: Review) -> None:
        assert review.number is not None  # noqa: S101 - what has none is not read
        with suppress(ForgeNotFound):
            if self.forge.get(review.number).state == PullState.OPEN:
                self.forge.close(review.number)
                self.forge.comment(review.number, "Nothing waits for this any longer.")

    def _open(self) -> Sequence[Review]:
        rows = select(Review).where(Review.cell == self.cell.name, Review.closed_at.is_(None))
        with self.service.database.read() as session:
            return session.scalars(rows.order_by(Review.id)).all()

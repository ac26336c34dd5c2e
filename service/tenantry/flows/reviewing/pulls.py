"""Pull requests at the forge follow the branches, and what reviewers do there is noticed.

Owns: which pull request a review has, and what its text says. A forge's word is a hint: that
something was merged is seen in Git; that a pull request was closed ends what waits on it.

A forge that asks for patience is left alone for that long, and what it has been told is on record,
so that a restart asks for nothing again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import or_, select

from tenantry.adapters.database.tables import Change, Proposal, Review
from tenantry.adapters.forge import Draft, Forge, Pull, PullState
from tenantry.core.errors import ForgeBusy, ForgeRefused, TenantryError
from tenantry.core.review import BRANCHES
from tenantry.flows.publishing import ledger
from tenantry.flows.publishing.retry import OF_TENANT, may_try
from tenantry.flows.reviewing.describe import describe
from tenantry.flows.reviewing.propose import postpone
from tenantry.flows.reviewing.settle import decline_review, reopen_review
from tenantry.flows.reviewing.subject import Subject
from tenantry.flows.reviewing.wanted import files_of, read_wanted, subject
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

    def follow(self) -> None:
        """Notice what reviewers did at the forge, and bring it up to the branches. What fails is
        tried again later.
        """
        now = self.service.now()
        if self._silent_until and now < self._silent_until:
            return
        try:
            self._notice()
            self._tell_all()
            self._close_moot()
        except ForgeBusy as error:
            wait = timedelta(seconds=error.retry_after) if error.retry_after else BUSY_FOR
            self._silent_until = now + wait
            log.warning("forge.busy", cell=self.cell.name, seconds=wait.total_seconds())

    def _notice(self) -> None:
        reviews = {each.number: each for each in self._reviews() if each.number}
        if not reviews:
            return
        for pull in self._look(reviews):
            review = reviews[pull.number]
            if pull.state == PullState.CLOSED and review.declined_at is None:
                decline_review(self.service, review.id, pull.closed_by or "who closed it")
            if pull.state == PullState.OPEN and review.declined_at is not None:
                reopen_review(self.service, review.id)
            if pull.state == PullState.MERGED:
                self._begin_anew(review)

    def _look(self, reviews: Mapping[int, Review]) -> Sequence[Pull]:
        """The reviews' pull requests: most are among those that moved last."""
        found = {pull.number: pull for pull in self.forge.recent() if pull.number in reviews}
        missing = reviews.keys() - found.keys()
        return [*found.values(), *(self.forge.get(number) for number in missing)]

    def _begin_anew(self, review: Review) -> None:
        """What still waits after a merge that was seen needs a pull request of its own. As long as
        the merge was not seen in Git, nothing is done.
        """
        with self.service.database.write() as session:
            row = session.get_one(Review, review.id, with_for_update=True)
            merged = select(Change.id).where(
                Change.review_id == review.id, Change.decided_at >= row.created_at
            )
            if row.pushed_generation < row.generation and session.scalar(merged.limit(1)):
                row.number = row.url = row.told = None

    def _tell_all(self) -> None:
        for review in self._reviews():
            if (
                review.declined_at is None
                and review.pushed_generation
                and review.told != review.head
            ):
                try:
                    self._tell(review)
                except ForgeBusy:
                    raise
                except TenantryError as error:
                    postpone(self.service, review.id, error)

    def _tell(self, review: Review) -> None:
        subjects = self._subjects(review)
        if not subjects:
            return
        text = describe(self.service, self.cell, subjects, limit=self.forge.body_limit)
        draft = Draft(review.branch, text.title, text.body)
        pull = self._bring(review, draft)
        with self.service.database.write() as session:
            row = session.get_one(Review, review.id, with_for_update=True)
            row.number, row.url, row.told = pull.number, pull.url, review.head
            row.attempts, row.retry_at, row.last_error = 0, None, None
        log.info("review.told", branch=review.branch, number=pull.number)

    def _bring(self, review: Review, draft: Draft) -> Pull:
        if review.number is None:
            return self.forge.open(draft)
        try:
            return self.forge.update(review.number, draft)
        except ForgeRefused:
            if self.forge.get(review.number).state == PullState.OPEN:
                raise
            return self.forge.open(draft)  # it was merged meanwhile, and more waits

    def _subjects(self, review: Review) -> list[Subject]:
        """What the branch shows of its tenants."""
        repository = self.cell.repository
        with self.service.database.read() as session:
            rows = select(Change.customer_id).where(
                Change.review_id == review.id, Change.outcome.is_(None)
            )
            ids = sorted(set(session.scalars(rows)))
            wanted = read_wanted(self.service, session, self.cell, ids)
            proposals = session.scalars(
                select(Proposal).where(Proposal.review_id == review.id)
            ).all()
        edits = {(each.customer_id, each.tree): ledger.edit_of(each) for each in proposals}
        folders = [each.folder for each in wanted]
        main = repository.trees_at(repository.head(), folders)
        there = repository.trees_at(review.head, folders)
        found = []
        for each in wanted:
            edit = edits.get((each.customer_id, there[each.folder] or ""))
            before, after = (files_of(self.cell, side[each.folder]) for side in (main, there))
            found.append(subject(each, before, after, sorted(edit.files) if edit else ()))
        return found

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
        for review in moot:
            assert review.number is not None  # noqa: S101 - asked for
            if self.forge.get(review.number).state == PullState.OPEN:
                self.forge.comment(review.number, "Nothing waits for this any longer.")
                self.forge.close(review.number)
            with self.service.database.write() as session:
                session.get_one(Review, review.id, with_for_update=True).told = ENDED

    def _reviews(self) -> Sequence[Review]:
        rows = select(Review).where(
            Review.cell == self.cell.name,
            Review.closed_at.is_(None),
            Review.branch.startswith(BRANCHES),
            may_try(Review.retry_at, OF_TENANT, self.service.now()),
        )
        with self.service.database.read() as session:
            return session.scalars(rows.order_by(Review.id)).all()

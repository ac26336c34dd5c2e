"""Branches that nothing waits on any longer go, as people saw them last: a change that comes later
begins at main, and its rebase meets no commit of an earlier one.
"""

from __future__ import annotations

import structlog
from sqlalchemy import Select, select, update

from tenantry.adapters.database.tables import Review
from tenantry.core.review import BRANCHES
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()


def sweep(service: Service, cell: Cell) -> None:
    """Remove the branches of reviews that are over. One to which somebody has added a commit since
    stays; so does one that the remote does not let go of.
    """
    with service.database.read() as session:
        over = session.scalars(_over(cell)).all()
        waits = set(session.scalars(select(Review.branch).where(Review.closed_at.is_(None))))
    branches = cell.repository.branches(BRANCHES) if over else {}
    done = [
        review.id
        for review in over
        if review.branch in waits or _is_gone(cell, review, branches.get(review.branch))
    ]
    if done:
        with service.database.write() as session:
            session.execute(update(Review).where(Review.id.in_(done)).values(head=None))


def _is_gone(cell: Cell, review: Review, tip: str | None) -> bool:
    """Whether nothing is left to do about a branch; else it is tried again in the next pass."""
    if tip is None or tip != review.head:
        return True
    went = cell.repository.remove(review.branch, tip)
    log.info("review.swept", branch=review.branch, went=went)
    return went


def _over(cell: Cell) -> Select[Review]:
    return select(Review).where(
        Review.cell == cell.name, Review.closed_at.is_not(None), Review.head.is_not(None)
    )

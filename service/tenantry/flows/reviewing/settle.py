"""What people merged, declined or took back is seen in Git, by content, and taken up before
anything is built on a new head (R31). What is wrong with one tenant or branch keeps no other
waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import structlog
from pydantic import ValidationError
from sqlalchemy import Select, select

from tenantry.adapters.database.tables import Review
from tenantry.core.errors import DatabaseUnavailable, TenantryError
from tenantry.core.frames import frames
from tenantry.core.review import BRANCHES
from tenantry.flows.reviewing.declining import decline_review
from tenantry.flows.reviewing.learning import learn
from tenantry.flows.reviewing.merging import find_merged, take
from tenantry.flows.reviewing.reverting import find_reverted, merged_once, take_back
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()
GONE = "who deleted the branch"


def settle(service: Service, cell: Cell, head: str | None) -> bool:
    """Take up what people did, as of `head` and the branches last fetched; whether anything was
    taken up. Two queries where nothing waits and nothing was merged.
    """
    with service.database.read() as session:
        reviews = session.scalars(_open_reviews(cell)).all()
        once = session.execute(merged_once(cell)).all()
    if head is None or not (reviews or once):
        return False
    branches = cell.repository.branches(BRANCHES)
    for review in reviews:
        _alone(review.branch, partial(learn, service, cell, review, branches.get(review.branch)))
    merged = find_merged(service, cell, reviews, head)
    took = [_alone(each.customer_id, partial(take, service, each)) for each in merged]
    took += [
        _alone(each.customer_id, partial(take_back, service, cell, each, head))
        for each in find_reverted(cell, once, head)
    ]
    took += [
        decline_review(service, each, GONE) for each in _find_gone(service, cell, branches, head)
    ]
    return any(took)


def _alone(name: str, take: Callable[[], bool]) -> bool:
    """Take up what became of one tenant or branch. What is wrong with it keeps no other waiting."""
    try:
        return take()
    except DatabaseUnavailable:
        raise
    except (TenantryError, ValidationError) as error:
        log.error("review.not_taken_up", name=name, frames=frames(error))
        return False


def _open_reviews(cell: Cell) -> Select[Review]:
    return select(Review).where(Review.cell == cell.name, Review.closed_at.is_(None))


def _find_gone(service: Service, cell: Cell, branches: Mapping[str, str], head: str) -> list[int]:
    """Reviews whose branch somebody deleted. Rows may be newer than what was fetched, so it is
    looked at once more; where main has moved meanwhile, the next pass tells.
    """
    with service.database.read() as session:  # again: a merge that was taken up explains some
        reviews = session.scalars(_open_reviews(cell)).all()
    gone = [
        each
        for each in reviews
        if each.head and each.branch not in branches and each.declined_at is None
    ]
    if not gone or cell.repository.fetch() != head:
        return []
    there = cell.repository.branches(BRANCHES)
    return [each.id for each in gone if each.branch not in there]

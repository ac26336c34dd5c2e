"""Changes that wait, and the reviews of the branches that they wait on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Change, Review, Tenant
from tenantry.core.review import ChangeKind, Outcome, branch_of
from tenantry.flows.generation import renew_branch
from tenantry.flows.service import Cell


def waiting(session: Session, customer_id: str) -> Sequence[Change]:
    """The changes of a tenant that wait, as they are laid on each other."""
    rows = select(Change).where(Change.customer_id == customer_id, Change.outcome.is_(None))
    return session.scalars(rows.order_by(Change.id)).all()


def waits(session: Session, customer_id: str, kind: ChangeKind) -> bool:
    """Whether a change of that kind waits."""
    return any(each.kind == kind for each in waiting(session, customer_id))


def waiting_on(session: Session, review_id: int) -> Sequence[str]:
    """The customers with changes that wait on a branch."""
    rows = select(Change.customer_id).where(Change.review_id == review_id, Change.outcome.is_(None))
    return sorted(set(session.scalars(rows)))


def open_review(session: Session, cell: Cell, branch: str, now: datetime) -> Review:
    """The review of a branch, to be pushed anew; a new one where none is open."""
    known = session.scalar(
        select(Review)
        .where(Review.cell == cell.name, Review.branch == branch, Review.closed_at.is_(None))
        .with_for_update()
    )
    if known is None:
        known = Review(cell=cell.name, branch=branch, generation=0, created_at=now)
        session.add(known)
    known.generation += 1
    if known.declined_at is not None:  # its pull request is closed: there will be another
        known.declined_at = known.number = known.url = known.told = None
    session.flush()
    return known


def branch_for(session: Session, cell: Cell, tenant: Tenant, now: datetime) -> int | None:
    """The branch that the tenant's changes wait on, to be rendered anew; None where that of its
    signup is not chosen yet.
    """
    if found := waiting(session, tenant.customer_id):
        renew_branch(session, tenant.customer_id)
        return found[0].review_id
    return open_review(session, cell, branch_of(tenant.customer_id), now).id


def end(change: Change, outcome: Outcome, by: str, now: datetime) -> None:
    change.outcome, change.decided_by, change.decided_at = outcome, by, now


def close_done(session: Session, tenant: Tenant, now: datetime) -> None:
    """Close reviews that nothing of the tenant's, nor of others', waits on any longer."""
    session.flush()
    mine = select(Change.review_id).where(Change.customer_id == tenant.customer_id)
    rows = select(Review).where(Review.id.in_(mine), Review.closed_at.is_(None))
    for review in session.scalars(rows):
        close_if_done(session, review, now)


def close_if_done(session: Session, review: Review, now: datetime) -> None:
    """Close a review that no change waits on; a declined one stays, since it may be reopened."""
    left = select(Change.id).where(Change.review_id == review.id, Change.outcome.is_(None))
    if session.scalar(left.limit(1)) is None and review.declined_at is None:
        review.closed_at = now

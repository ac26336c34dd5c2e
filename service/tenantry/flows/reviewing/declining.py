"""A branch that was closed unmerged ends what waits on it; reopened, it goes on."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Change, Review, Tenant
from tenantry.core.model import Status
from tenantry.core.review import ChangeKind, Outcome
from tenantry.flows import status
from tenantry.flows.audit_rows import audited
from tenantry.flows.reviewing.ending import decline_changes
from tenantry.flows.reviewing.standing import REVIEWER
from tenantry.flows.reviewing.waiting import waiting
from tenantry.flows.rows import locked
from tenantry.flows.service import Service


def decline_review(service: Service, review_id: int, by: str) -> bool:
    """End the changes that wait on a branch, which was closed unmerged; whether any waited. It may
    be reopened.
    """
    now, by = service.now(), by[:128]
    with service.database.write() as session:
        waits = select(Change.customer_id).where(
            Change.review_id == review_id, Change.outcome.is_(None)
        )
        tenants = locked(session, sorted(set(session.scalars(waits))))
        if not tenants:  # it was merged, and is over
            return False
        for each in tenants:
            decline_changes(session, each, by=by, now=now)
            row = audited("change.declined", each.customer_id, actor=REVIEWER, now=now, by=by)
            session.add(row)
        session.flush()
        review = session.get_one(Review, review_id, with_for_update=True)
        review.declined_at, review.head = now, None
        review.pushed_generation = review.generation
    return True


def reopen_review(service: Service, review_id: int) -> bool:
    """Let changes wait again that were declined with their branch; whether any do. Not those whose
    kind another change has taken up since.
    """
    with service.database.write() as session:
        rows = select(Change.customer_id).where(Change.review_id == review_id)
        locked(session, sorted(set(session.scalars(rows))))
        review = session.get_one(Review, review_id, with_for_update=True)
        if review.declined_at is None:
            return False
        again = select(Change).where(
            Change.review_id == review_id, Change.outcome == Outcome.DECLINED
        )
        back = [each for each in session.scalars(again) if not is_taken(session, each)]
        for each in back:
            each.outcome = each.decided_by = each.decided_at = None
            if each.kind == ChangeKind.SIGNUP:
                tenant = session.get_one(Tenant, each.customer_id)
                status.report(
                    session,
                    tenant,
                    Status.AWAITING_REVIEW,
                    "awaiting_review",
                    detail="",
                    now=service.now(),
                )
        review.declined_at, review.generation = None, review.generation + 1
        return bool(back)


def is_taken(session: Session, change: Change) -> bool:
    open_ones = waiting(session, change.customer_id)
    return any(each.kind == change.kind for each in open_ones)

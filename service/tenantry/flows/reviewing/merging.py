"""What people merged, declined or took back is seen in Git, by content (R31).

Owns: the step from a tree that stands on main to what is approved. A tenant's folder on main that
equals the tree of any commit of its branch was merged, whether by a merge commit, a squash or a
rebase. It is looked at before anything is built on a new head.

Invariant: what is approved moves only by a change that was seen on main, or is direct.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Change, LicenseRow, Proposal, Review, Tenant
from tenantry.core import naming
from tenantry.core.model import TenantSpec
from tenantry.core.review import ChangeKind, Outcome
from tenantry.flows.publishing import adopted, ledger
from tenantry.flows.publishing.ledger import Landed
from tenantry.flows.reviewing.applying import approve
from tenantry.flows.reviewing.declining import is_taken
from tenantry.flows.reviewing.standing import REVIEWER, follow_up, raise_for
from tenantry.flows.reviewing.waiting import close_if_done
from tenantry.flows.rows import locked
from tenantry.flows.service import Cell, Service
from tenantry.flows.subscriptions.following import ACTOR
from tenantry.flows.subscriptions.renewal import tell_renewal

log = structlog.get_logger()


@dataclass(frozen=True)
class Merged:
    """A tenant whose folder on main is what its branch proposed."""

    customer_id: str
    standing: str
    commit: str
    proposal: int


def find_merged(service: Service, cell: Cell, reviews: Sequence[Review], head: str) -> list[Merged]:
    """Of these reviews, the tenants whose folder at main's `head` is a tree that a branch had."""
    proposed = select(Proposal).where(Proposal.review_id.in_([each.id for each in reviews]))
    with service.database.read() as session:
        proposals = session.scalars(proposed.order_by(Proposal.id)).all()
        ids = {each.customer_id for each in proposals}
        rows = select(Tenant.customer_id, Tenant.accepted_tree).where(Tenant.customer_id.in_(ids))
        accepted = {row.customer_id: row.accepted_tree for row in session.execute(rows)}
    trees = cell.repository.trees_at(head, [naming.folder_of(each) for each in accepted])
    moved = {
        customer_id: standing
        for customer_id, tree in accepted.items()
        if (standing := trees[naming.folder_of(customer_id)]) and standing != tree
    }
    known = _match(cell, moved, proposals)
    commits = {each: cell.repository.last_commit(naming.folder_of(each)) for each in known}
    return [Merged(each, moved[each], commits[each], known[each]) for each in known]


def _match(cell: Cell, moved: Mapping[str, str], proposals: Sequence[Proposal]) -> dict[str, int]:
    """By customer the proposal that stands on main, whatever was merged into `local/` with it."""
    found: dict[str, int] = {}
    for each in proposals:
        if moved.get(each.customer_id) == each.tree:
            found[each.customer_id] = each.id
    left = [each for each in proposals if each.customer_id in moved.keys() - found.keys()]
    pairs = {(moved[each.customer_id], each.tree): each for each in left}
    for pair in adopted.find(cell, list(pairs)) if pairs else ():
        found.setdefault(pairs[pair].customer_id, pairs[pair].id)
    return found


def take(service: Service, merged: Merged) -> bool:
    """What was merged is approved; False where the rows moved on since they were read."""
    now = service.now()
    with service.database.write() as session:
        tenant = locked(session, [merged.customer_id])[0]
        proposal = session.get_one(Proposal, merged.proposal)
        changes = _merged_now(session, proposal)
        if tenant.accepted_tree == merged.standing or not changes:
            return False
        at = {"tree": tenant.accepted_tree, "commit": merged.commit}
        for each in changes:
            each.before = {**tenant.approved, **at}
        approve(service, session, tenant, changes, by=REVIEWER, now=now)
        if _is_renewal(session, changes):
            tell_renewal(session, tenant, now)
        raise_for(session, tenant, "change.merged", now)
        edit = ledger.edit_of(proposal)
        spec = TenantSpec.model_validate(proposal.spec)
        landed = Landed(tenant.generation, spec, merged.standing, merged.commit, edit)
        ledger.stand(session, tenant, landed, now)
        ledger.date_deployments(session, {tenant.customer_id: landed}, now)
        is_ours = proposal.author is None and proposal.tree == tenant.accepted_tree
        follow_up(session, tenant, proposal.spec if is_ours else None, now)
        _close(session, changes, now)
    log.info("change.merged", customer_id=merged.customer_id, commit=merged.commit)
    return True


def _merged_now(session: Session, proposal: Proposal) -> list[Change]:
    """The changes that were merged with a proposal: those that wait, and those that were declined
    and merged nevertheless, unless another took their place.
    """
    rows = select(Change).where(Change.id.in_(proposal.changes)).order_by(Change.id)
    return [
        each
        for each in session.scalars(rows)
        if each.outcome is None
        or (each.outcome == Outcome.DECLINED and not is_taken(session, each))
    ]


def _is_renewal(session: Session, changes: Sequence[Change]) -> bool:
    """Whether what was merged is a license that follows a paid one in time, and nothing else: a
    plan has a mail of its own, and so has the first payment.
    """
    if [(each.kind, each.actor) for each in changes] != [(ChangeKind.LICENSE, ACTOR)]:
        return False
    return session.get_one(LicenseRow, changes[0].before["license_id"]).kind == "paid"


def _close(session: Session, changes: Sequence[Change], now: datetime) -> None:
    session.flush()
    for review_id in {each.review_id for each in changes if each.review_id}:
        review = session.get_one(Review, review_id, with_for_update=True)
        review.declined_at = None
        close_if_done(session, review, now)
        if review.closed_at is None:  # the branch may have gone with the merge: what waits, stays
            review.head, review.generation = None, review.generation + 1

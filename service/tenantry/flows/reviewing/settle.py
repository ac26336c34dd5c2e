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
from typing import TypeGuard

import structlog
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from tenantry.adapters.database.session import insert_new
from tenantry.adapters.database.tables import Audit, Change, Proposal, Review, Tenant
from tenantry.adapters.git import NOT_A_TREE
from tenantry.core import naming
from tenantry.core.model import TenantSpec
from tenantry.core.review import BRANCHES, FIELDS, ChangeKind, Mode, Outcome, lay_on
from tenantry.flows.change import raise_generation
from tenantry.flows.publishing import adopted, edited, ledger
from tenantry.flows.publishing.ledger import Landed
from tenantry.flows.reviewing.changes import approve, close_if_done, decline_changes, waiting
from tenantry.flows.rows import locked
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()
REVIEWER = "review"  # who decided, where Git and forge do not say


@dataclass(frozen=True)
class Merged:
    """A tenant whose folder on main is what its branch proposed."""

    customer_id: str
    standing: str
    commit: str
    proposal: int


def settle(service: Service, cell: Cell, head: str | None) -> bool:
    """Take up what people did, as of `head` and the branches last fetched; whether anything was
    taken up. A query where nothing waits.
    """
    with service.database.read() as session:
        reviews = session.scalars(_open_reviews(cell)).all()
        merged_once = session.execute(_merged(cell)).all()
    if head is None or not (reviews or merged_once):
        return False
    branches = cell.repository.branches(BRANCHES)
    for review in reviews:
        _learn(service, cell, review, branches.get(review.branch), head)
    took = [_take(service, each) for each in _find_merged(service, cell, reviews, head)]
    took += [_take_back(service, cell, *each, head) for each in merged_once]
    took += [
        _drop(service, review.id, "who deleted the branch")
        for review in reviews
        if review.head and review.branch not in branches and review.declined_at is None
    ]
    return any(took)


def decline_review(service: Service, review_id: int, by: str) -> bool:
    """End the changes that wait on a branch, which was closed unmerged; whether any waited. It may
    be reopened.
    """
    return _drop(service, review_id, by)


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
        back = [each for each in session.scalars(again) if not _is_taken(session, each)]
        for each in back:
            each.outcome = each.decided_by = each.decided_at = None
        review.declined_at, review.generation = None, review.generation + 1
        return bool(back)


def _is_taken(session: Session, change: Change) -> bool:
    open_ones = waiting(session, change.customer_id)
    return any(each.kind == change.kind for each in open_ones)


def _open_reviews(cell: Cell) -> Select[Review]:
    return select(Review).where(Review.cell == cell.name, Review.closed_at.is_(None))


def _merged(cell: Cell) -> Select[int, str]:
    """The newest change of each tenant that a person merged: it may be taken back on main."""
    newest = (
        select(func.max(Change.id))
        .where(
            Change.mode == Mode.REVIEW,
            Change.outcome == Outcome.APPLIED,
            Change.kind != ChangeKind.SIGNUP,
        )
        .group_by(Change.customer_id)
    )
    return (
        select(Change.id, Tenant.customer_id)
        .join(Tenant, Tenant.customer_id == Change.customer_id)
        .where(Tenant.cell == cell.name, Change.id.in_(newest))
    )


def _learn(service: Service, cell: Cell, review: Review, tip: str | None, head: str) -> None:
    """Record what reviewers added to a branch: each of their commits may be what is merged. A
    folder that their last commit leaves as main has it was declined by that.
    """
    if tip is None or tip == review.head:
        return
    others = cell.repository.made_by_others(review.head, tip)
    with service.database.read() as session:
        rows = select(Proposal).where(Proposal.review_id == review.id).order_by(Proposal.id)
        last = {each.customer_id: each for each in session.scalars(rows)}
    folders = {customer_id: naming.folder_of(customer_id) for customer_id in last}
    places = [(commit, folder) for commit in (*others, tip, head) for folder in folders.values()]
    trees = cell.repository.trees(places)
    seen = [
        _reviewed(cell, last[customer_id], tree, author, service.now())
        for customer_id, folder in folders.items()
        for commit, author in others.items()
        if _is_new(tree := trees[commit, folder], trees[head, folder], last[customer_id])
    ]
    given_up = [
        customer_id
        for customer_id, folder in folders.items()
        if others and trees[tip, folder] == trees[head, folder] != last[customer_id].tree
    ]
    with service.database.write() as session:
        insert_new(session, Proposal, seen)
        for tenant in locked(session, given_up):
            by = next(reversed(others.values()))
            decline_changes(session, tenant, by=by[:128], now=service.now())
        row = session.get_one(Review, review.id, with_for_update=True)
        row.head, row.generation = tip, row.generation + 1  # `local/` is an input of the render
        if given_up:
            close_if_done(session, row, service.now())


def _is_new(tree: str | None, main: str | None, ours: Proposal) -> TypeGuard[str]:
    return tree not in (None, NOT_A_TREE, main, ours.tree)


def _reviewed(
    cell: Cell, ours: Proposal, tree: str, author: str, now: datetime
) -> dict[str, object]:
    """What a reviewer made of our proposal."""
    same = ("review_id", "customer_id", "spec", "changes")
    edit = edited.find_edit(cell, {ours.tree: ledger.edit_of(ours)}, tree)
    row = {name: getattr(ours, name) for name in same}
    return {**row, **ledger.write_edit(edit), "tree": tree, "author": author, "at": now}


def _find_merged(
    service: Service, cell: Cell, reviews: Sequence[Review], head: str
) -> list[Merged]:
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
    return [
        Merged(
            customer_id, moved[customer_id], cell.repository.last_commit(_folder(customer_id)), each
        )
        for customer_id, each in known.items()
    ]


def _folder(customer_id: str) -> str:
    return naming.folder_of(customer_id)


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


def _take(service: Service, merged: Merged) -> bool:
    """What was merged is approved; False where the rows moved on since they were read."""
    now = service.now()
    with service.database.write() as session:
        tenant = locked(session, [merged.customer_id])[0]
        proposal = session.get_one(Proposal, merged.proposal)
        open_ones = waiting(session, tenant.customer_id)
        changes = [each for each in open_ones if each.id in proposal.changes]
        if tenant.accepted_tree == merged.standing or not changes:
            return False
        for each in changes:
            each.before = {**tenant.approved, "tree": tenant.accepted_tree}
        approve(service, session, tenant, changes, by=REVIEWER, now=now)
        _raise(session, tenant, "change.merged", now)
        edit = ledger.edit_of(proposal)
        landed = Landed(tenant.generation, merged.standing, merged.commit, edit)
        ledger.stand(session, tenant, landed, now)
        ledger.date_deployments(session, {tenant.customer_id: landed}, now)
        _follow_up(session, tenant, proposal, now)
        _close(session, changes, now)
    log.info("change.merged", customer_id=merged.customer_id, commit=merged.commit)
    return True


def _raise(session: Session, tenant: Tenant, action: str, now: datetime) -> None:
    """A generation for what stands on main already; a signup's first has begun with it."""
    if tenant.generation == 0:
        tenant.generation = 1
        session.add(_audit(tenant, action, {"generation": 1}, now))
    else:
        raise_generation(session, tenant, action=action, actor=REVIEWER, now=now)


def _follow_up(session: Session, tenant: Tenant, proposal: Proposal, now: datetime) -> None:
    """Have main catch up where more is approved than was merged, such as a plan's license, and
    where it is not all of our making.
    """
    wanted = TenantSpec.model_validate(tenant.approved)
    is_ours = proposal.author is None and proposal.tree == tenant.accepted_tree
    if not is_ours or wanted != TenantSpec.model_validate(proposal.spec):
        raise_generation(session, tenant, action="tenant.follow_up", actor=REVIEWER, now=now)


def _close(session: Session, changes: Sequence[Change], now: datetime) -> None:
    session.flush()
    for review_id in {each.review_id for each in changes if each.review_id}:
        close_if_done(session, session.get_one(Review, review_id, with_for_update=True), now)


def _take_back(service: Service, cell: Cell, change_id: int, customer_id: str, head: str) -> bool:
    """Follow main where a person reverted what was merged last."""
    now, folder = service.now(), _folder(customer_id)
    standing = cell.repository.trees_at(head, [folder])[folder]
    with service.database.read() as session:
        before = session.get_one(Change, change_id).before.get("tree")
        accepted = session.get_one(Tenant, customer_id).accepted_tree
    if standing is None or standing != before or standing == accepted:
        return False
    with service.database.write() as session:
        tenant = locked(session, [customer_id])[0]
        change = session.get_one(Change, change_id)
        if change.outcome != Outcome.APPLIED or tenant.accepted_tree == standing:
            return False
        tenant.approved = _as_before(service, tenant, change).model_dump(mode="json")
        change.outcome, change.decided_by, change.decided_at = Outcome.REVERTED, REVIEWER, now
        _raise(session, tenant, "change.reverted", now)
        landed = Landed(tenant.generation, standing, cell.repository.last_commit(folder))
        ledger.stand(session, tenant, landed, now)
        ledger.date_deployments(session, {tenant.customer_id: landed}, now)
    log.info("change.reverted", customer_id=customer_id)
    return True


def _as_before(service: Service, tenant: Tenant, change: Change) -> TenantSpec:
    """What is approved, with the change's fields as they were; volumes never shrink."""
    kinds = [ChangeKind(change.kind)]
    kinds += [ChangeKind.LICENSE] if change.kind == ChangeKind.PLAN else []
    names = {name for kind in kinds for name in FIELDS[kind]}
    back = {name: change.before[name] for name in names}
    return lay_on(
        TenantSpec.model_validate(tenant.approved),
        [(kind, back) for kind in kinds],
        service.product,
    )


def _drop(service: Service, review_id: int, by: str) -> bool:
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
            session.add(_audit(each, "change.declined", {"by": by}, now))
        session.flush()
        review = session.get_one(Review, review_id, with_for_update=True)
        review.declined_at, review.head = now, None
        review.pushed_generation = review.generation
    return True


def _audit(tenant: Tenant, action: str, details: Mapping[str, object], now: datetime) -> Audit:
    return Audit(
        at=now,
        actor=REVIEWER,
        action=action,
        customer_id=tenant.customer_id,
        details=dict(details),
    )

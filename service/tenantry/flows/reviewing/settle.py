"""What people merged, declined or took back is seen in Git, by content (R31).

Owns: the step from a tree that stands on main to what is approved. A tenant's folder on main that
equals the tree of any commit of its branch was merged, whether by a merge commit, a squash or a
rebase. It is looked at before anything is built on a new head.

Invariant: what is approved moves only by a change that was seen on main, or is direct.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeGuard

import structlog
from pydantic import ValidationError
from sqlalchemy import Row, Select, func, select
from sqlalchemy.orm import Session

from tenantry.adapters.database.session import insert_new
from tenantry.adapters.database.tables import Audit, Change, Proposal, Review, Tenant
from tenantry.adapters.git import NOT_A_TREE
from tenantry.core import naming
from tenantry.core.errors import DatabaseUnavailable, HandEdited, TenantryError, frames
from tenantry.core.model import Status, TenantSpec
from tenantry.core.overlay import LOCAL
from tenantry.core.review import BRANCHES, FIELDS, ChangeKind, Mode, Outcome, lay_on
from tenantry.flows import status
from tenantry.flows.change import raise_generation
from tenantry.flows.publishing import adopted, edited, ledger
from tenantry.flows.publishing.ledger import Landed
from tenantry.flows.publishing.rendering import render_files
from tenantry.flows.publishing.sealing import sealed_values
from tenantry.flows.reviewing.changes import approve, close_if_done, decline_changes, move, waiting
from tenantry.flows.rows import locked
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()
REVIEWER = "review"  # who decided, where Git and forge do not say
GONE = "who deleted the branch"


@dataclass(frozen=True)
class Merged:
    """A tenant whose folder on main is what its branch proposed."""

    customer_id: str
    standing: str
    commit: str
    proposal: int


@dataclass(frozen=True)
class Once:
    """A change that a person merged, the newest of its tenant, and how main was before it."""

    change: int
    customer_id: str
    before: Mapping[str, Any]  # core.model.TenantSpec, with `tree` and the merge's `commit`
    accepted_tree: str | None


def settle(service: Service, cell: Cell, head: str | None) -> bool:
    """Take up what people did, as of `head` and the branches last fetched; whether anything was
    taken up. Two queries where nothing waits and nothing was merged.
    """
    with service.database.read() as session:
        reviews = session.scalars(_open_reviews(cell)).all()
        merged_once = session.execute(_merged(cell)).all()
    if head is None or not (reviews or merged_once):
        return False
    branches = cell.repository.branches(BRANCHES)
    for review in reviews:
        _alone(review.branch, partial(_learn, service, cell, review, branches.get(review.branch)))
    merged = _find_merged(service, cell, reviews, head)
    took = [_alone(each.customer_id, partial(_take, service, each)) for each in merged]
    took += [
        _alone(each.customer_id, partial(_take_back, service, cell, each, head))
        for each in _find_reverted(cell, merged_once, head)
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


def _is_taken(session: Session, change: Change) -> bool:
    open_ones = waiting(session, change.customer_id)
    return any(each.kind == change.kind for each in open_ones)


def _open_reviews(cell: Cell) -> Select[Review]:
    return select(Review).where(Review.cell == cell.name, Review.closed_at.is_(None))


def _merged(cell: Cell) -> Select[int, str, dict[str, Any], str | None]:
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
        select(Change.id, Tenant.customer_id, Change.before, Tenant.accepted_tree)
        .join(Tenant, Tenant.customer_id == Change.customer_id)
        .where(Tenant.cell == cell.name, Change.id.in_(newest))
    )


def _find_reverted(cell: Cell, rows: Sequence[Row[Any]], head: str) -> list[Once]:
    """Those whose folder is neither what stands accepted nor older than the merge."""
    once = [Once(*each) for each in map(tuple, rows)]
    trees = cell.repository.trees_at(head, [_folder(each.customer_id) for each in once])
    return [
        each
        for each in once
        if trees[_folder(each.customer_id)] not in (None, NOT_A_TREE, each.accepted_tree)
        and cell.repository.descends(head, each.before.get("commit") or "")
    ]


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


def _learn(service: Service, cell: Cell, review: Review, tip: str | None) -> bool:
    """Record what reviewers added to a branch: each of their commits may be what is merged. A
    folder that their last commit leaves as we last accepted it was declined by that; whether one
    was.
    """
    if tip is None or tip == review.head:
        return False
    others = cell.repository.made_by_others(review.head, tip)
    known = _read_known(service, cell, review)
    places = [(commit, each.folder) for commit in (*others, tip) for each in known]
    trees = cell.repository.trees(places)
    now = service.now()
    made = (
        _reviewed(cell, each.ours, tree, author, now)
        for each in known
        for commit, author in others.items()
        if _is_new(tree := trees[commit, each.folder], each)
    )
    seen = [row for row in made if row]
    given_up = {
        each.customer_id for each in known if others and each.is_left(trees[tip, each.folder])
    }
    with service.database.write() as session:
        tenants = locked(session, sorted(each.customer_id for each in known))
        insert_new(session, Proposal, seen)
        for tenant in tenants:
            if tenant.customer_id in given_up:
                by = next(reversed(others.values()))
                decline_changes(session, tenant, by=by[:128], now=now)
        row = session.get_one(Review, review.id, with_for_update=True)
        row.head, row.generation = tip, row.generation + 1  # `local/` is an input of the render
        if given_up:
            close_if_done(session, row, now)
    return bool(given_up)


@dataclass(frozen=True)
class Known:
    """What a tenant's folder is on a branch as we last saw it, and on main as we accepted it."""

    customer_id: str
    ours: Proposal
    accepted_tree: str | None

    @property
    def folder(self) -> str:
        return naming.folder_of(self.customer_id)

    def is_left(self, tree: str | None) -> bool:
        """Whether that tree is main's, and not what we proposed."""
        return tree == self.accepted_tree != self.ours.tree


def _read_known(service: Service, cell: Cell, review: Review) -> list[Known]:
    """By what the branch held when we last saw it: what was proposed later was never there."""
    rows = select(Proposal).where(Proposal.review_id == review.id).order_by(Proposal.id)
    with service.database.read() as session:
        proposals = {(each.customer_id, each.tree): each for each in session.scalars(rows)}
        ids = {customer_id for customer_id, _ in proposals}
        tenants = select(Tenant.customer_id, Tenant.accepted_tree).where(
            Tenant.customer_id.in_(ids)
        )
        accepted = {row.customer_id: row.accepted_tree for row in session.execute(tenants)}
    if not review.head or not cell.repository.known_commits([review.head]):
        return []
    there = cell.repository.trees_at(review.head, [naming.folder_of(each) for each in accepted])
    found = {
        customer_id: proposals.get((customer_id, there[naming.folder_of(customer_id)] or ""))
        for customer_id in accepted
    }
    return [Known(each, ours, accepted[each]) for each, ours in found.items() if ours]


def _is_new(tree: str | None, known: Known) -> TypeGuard[str]:
    return tree not in (None, NOT_A_TREE, known.accepted_tree, known.ours.tree)


def _reviewed(
    cell: Cell, ours: Proposal, tree: str, author: str, now: datetime
) -> dict[str, object] | None:
    """What a reviewer made of our proposal; None where that is no folder that could be kept."""
    same = ("review_id", "customer_id", "spec", "changes")
    try:
        edit = edited.find_edit(cell, {ours.tree: ledger.edit_of(ours)}, tree)
    except HandEdited as error:
        log.warning("review.odd_edit", customer_id=ours.customer_id, detail=str(error))
        return None
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
        changes = _merged_now(session, proposal)
        if tenant.accepted_tree == merged.standing or not changes:
            return False
        at = {"tree": tenant.accepted_tree, "commit": merged.commit}
        for each in changes:
            each.before = {**tenant.approved, **at}
        approve(service, session, tenant, changes, by=REVIEWER, now=now)
        _raise(session, tenant, "change.merged", now)
        edit = ledger.edit_of(proposal)
        landed = Landed(tenant.generation, merged.standing, merged.commit, edit)
        ledger.stand(session, tenant, landed, now)
        ledger.date_deployments(session, {tenant.customer_id: landed}, now)
        is_ours = proposal.author is None and proposal.tree == tenant.accepted_tree
        _follow_up(session, tenant, proposal.spec if is_ours else None, now)
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


def _follow_up(
    session: Session, tenant: Tenant, shown: Mapping[str, Any] | None, now: datetime
) -> None:
    """Have main catch up where more is approved than it shows, such as a plan's license, and where
    it is not all of our making (None).
    """
    wanted = TenantSpec.model_validate(tenant.approved)
    if shown is None or wanted != TenantSpec.model_validate(shown):
        raise_generation(session, tenant, action="tenant.follow_up", actor=REVIEWER, now=now)


def _merged_now(session: Session, proposal: Proposal) -> list[Change]:
    """The changes that were merged with a proposal: those that wait, and those that were declined
    and merged nevertheless, unless another took their place.
    """
    rows = select(Change).where(Change.id.in_(proposal.changes)).order_by(Change.id)
    return [
        each
        for each in session.scalars(rows)
        if each.outcome is None
        or (each.outcome == Outcome.DECLINED and not _is_taken(session, each))
    ]


def _close(session: Session, changes: Sequence[Change], now: datetime) -> None:
    session.flush()
    for review_id in {each.review_id for each in changes if each.review_id}:
        review = session.get_one(Review, review_id, with_for_update=True)
        review.declined_at = None
        close_if_done(session, review, now)
        if review.closed_at is None:  # the branch may have gone with the merge: what waits, stays
            review.head, review.generation = None, review.generation + 1


def _take_back(service: Service, cell: Cell, once: Once, head: str) -> bool:
    """Follow main where a person reverted what was merged last: the folder is what it was before,
    but for a license that was issued since.
    """
    now, folder = service.now(), _folder(once.customer_id)
    standing = str(cell.repository.trees_at(head, [folder])[folder])
    shown = _as_shown(service, cell, once, head, standing)
    if shown is None:
        return False
    with service.database.write() as session:
        tenant = locked(session, [once.customer_id])[0]
        change = session.get_one(Change, once.change)
        if change.outcome != Outcome.APPLIED or tenant.accepted_tree != once.accepted_tree:
            return False
        kind = ChangeKind(change.kind)
        back = {name: change.before[name] for name in FIELDS[kind]}
        spec = lay_on(TenantSpec.model_validate(tenant.approved), [(kind, back)], service.product)
        move(service, session, tenant, spec, by=REVIEWER, now=now)
        change.outcome, change.decided_by, change.decided_at = Outcome.REVERTED, REVIEWER, now
        _raise(session, tenant, "change.reverted", now)
        landed = Landed(tenant.generation, standing, cell.repository.last_commit(folder))
        ledger.stand(session, tenant, landed, now)
        ledger.date_deployments(session, {tenant.customer_id: landed}, now)
        _follow_up(session, tenant, shown, now)
    log.info("change.reverted", customer_id=once.customer_id)
    return True


def _as_shown(
    service: Service, cell: Cell, once: Once, head: str, standing: str
) -> Mapping[str, Any] | None:
    """The spec from before the merge, if main shows it, be it with today's license."""
    before = {name: once.before[name] for name in TenantSpec.model_fields}
    if standing == once.before["tree"]:
        return before
    with service.database.read() as session:
        approved = session.get_one(Tenant, once.customer_id).approved
    today = before | {name: approved[name] for name in FIELDS[ChangeKind.LICENSE]}
    spec = TenantSpec.model_validate(today)
    sealed = sealed_values(service, cell, [spec])
    place = f"{_folder(once.customer_id)}/{LOCAL}"
    local = cell.repository.trees_at(head, [place])[place]
    shall = render_files(service, cell, spec, sealed.of(spec), local=local)
    return today if shall.tree == standing else None


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

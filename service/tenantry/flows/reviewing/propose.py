"""Branches that wait for a person are brought up to what is wanted.

Owns: the commits that we put on such a branch. An update is a commit on top, with main merged in
where the tenant's folder moved there; what a reviewer edited on the branch stays. Which trees a
branch had is recorded before it is pushed (`proposals`), so that a merge is known by its content.

Concurrency: the remote's ref fences a push, here too; a rejected one is never repeated.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog
from sqlalchemy import Select, delete, insert, select, update

from tenantry.adapters.database.tables import Change, Deployment, Proposal, Review
from tenantry.core.errors import OverlayRefused, TenantryError
from tenantry.core.model import State, Status
from tenantry.core.overlay import made_up
from tenantry.core.review import BRANCHES, branch_of
from tenantry.flows import status
from tenantry.flows.publishing import founding, ledger, turn
from tenantry.flows.publishing.example import Examples
from tenantry.flows.publishing.retry import OF_TENANT, may_try
from tenantry.flows.reviewing.branch_commits import commits_for
from tenantry.flows.reviewing.folders import Branch, Shown, read_proposed, show
from tenantry.flows.reviewing.gathering import gather_signups
from tenantry.flows.reviewing.waiting import open_review, waiting, waiting_on
from tenantry.flows.reviewing.wanted import Wanted, read_wanted
from tenantry.flows.rows import locked
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()


def propose_due(service: Service, cell: Cell, head: str | None) -> int:
    """Push what branches lack of the cell's open reviews, `head` being main's as last fetched; how
    many were pushed. What fails is recorded and tried again later, alone.
    """
    gather_signups(service, cell)
    pushed = 0
    for review_id in _read_due(service, cell):
        try:
            head = _found(service, cell, head)
            pushed += _propose(service, cell, review_id, head)
        except TenantryError as error:
            postpone(service, review_id, error)
    return pushed


def postpone(service: Service, review_id: int, error: TenantryError) -> None:
    """Let a review wait, longer each time, or as long as the error asks."""
    now = service.now()
    with service.database.write() as session:
        review = session.get_one(Review, review_id, with_for_update=True)
        review.attempts += 1
        wait = OF_TENANT.wait(review.attempts, random.random())  # noqa: S311 - no secret
        review.retry_at, review.last_error = now + wait, str(error)
        log.warning("review.postponed", branch=review.branch, detail=str(error))


def due(cell: Cell, now: datetime) -> Select[int]:
    """The reviews whose branch is behind, and whose own wait is over."""
    return select(Review.id).where(
        Review.cell == cell.name,
        Review.closed_at.is_(None),
        Review.declined_at.is_(None),
        Review.pushed_generation < Review.generation,
        may_try(Review.retry_at, OF_TENANT, now),
    )


def _read_due(service: Service, cell: Cell) -> Sequence[int]:
    with service.database.read() as session:
        return session.scalars(due(cell, service.now()).order_by(Review.id)).all()


def _found(service: Service, cell: Cell, head: str | None) -> str:
    """Main's head, once it has what a repository needs before a tenant can be merged there."""
    trees = cell.repository.trees_at(head, founding.paths(service, cell))
    if head is not None and not founding.missing(service, cell, trees):
        return head
    product = service.product
    proof = made_up(product, product.trial.plan, State.ACTIVE, platform=product.platform)
    if fault := Examples(service, cell, trees).find_fault(proof):
        raise OverlayRefused([fault])

    def found() -> str:
        seen = cell.repository.fetch()
        there = cell.repository.trees_at(seen, founding.paths(service, cell))
        lacking = founding.missing(service, cell, there)
        if not lacking:
            return str(seen)
        built = cell.repository.build(seen, lacking, service.now())
        turn.push(cell)
        return built[-1].sha

    return turn.until_it_lands(cell, found)


def _propose(service: Service, cell: Cell, review_id: int, main: str) -> bool:
    with service.database.read() as session:
        row = session.get_one(Review, review_id)
        head = cell.repository.branches(BRANCHES).get(row.branch)
        branch = Branch(row.id, row.branch, row.generation, head, main)
        rows = select(Change.customer_id).where(Change.review_id == review_id)
        customer_ids = sorted(set(session.scalars(rows)))
        wanted = read_wanted(service, session, cell, waiting_on(session, review_id))
        ours = read_proposed(session, customer_ids)
    shown, failed = show(service, cell, branch, wanted, ours)
    if failed and not shown:
        raise next(iter(failed.values()))
    _part(service, cell, failed)
    dropped = sorted(set(customer_ids) - {each.customer_id for each in wanted})
    changes = commits_for(cell, branch, shown, dropped)
    _intend(service, branch, shown)
    if not changes:
        _record(service, branch, branch.head, wanted)
        return False
    parent = branch.head or main
    built = cell.repository.propose(parent, changes, service.now())
    tip = built[-1].sha
    moved = cell.repository.move({branch.name: tip})
    if branch.name in moved.errors:
        raise moved.errors[branch.name]
    _record(service, branch, tip, wanted)
    log.info("review.pushed", branch=branch.name, commit=tip)
    return True


def _part(service: Service, cell: Cell, failed: Mapping[str, TenantryError]) -> None:
    """Give those a branch of their own that would keep others of theirs waiting."""
    now = service.now()
    with service.database.write() as session:
        for tenant in locked(session, sorted(failed)):
            review = open_review(session, cell, branch_of(tenant.customer_id), now)
            for change in waiting(session, tenant.customer_id):
                change.review_id = review.id
            detail = str(failed[tenant.customer_id])
            log.warning("review.parted", customer_id=tenant.customer_id, detail=detail)


def _intend(service: Service, branch: Branch, shown: Sequence[Shown]) -> None:
    """Record, before a push, which trees the branch is about to have."""
    now = service.now()
    rows = [
        {
            "review_id": branch.id,
            "customer_id": each.wanted.customer_id,
            "tree": each.shall.tree,
            **ledger.write_edit(each.shall.edit),
            "spec": each.wanted.spec.model_dump(mode="json"),
            "changes": list(each.wanted.changes),
            "at": now,
        }
        for each in shown
    ]
    with service.database.write() as session:
        locked(session, sorted(each.wanted.customer_id for each in shown))
        for row in rows:  # a tree that was there before may stand for other changes now
            same = {name: row[name] for name in ("review_id", "customer_id", "tree")}
            session.execute(delete(Proposal).filter_by(**same))
        if rows:
            session.execute(insert(Proposal), rows)


def _record(service: Service, branch: Branch, head: str | None, wanted: Sequence[Wanted]) -> None:
    """The branch shows a generation; it never goes back."""
    now = service.now()
    new = [each.customer_id for each in wanted if each.is_new]
    with service.database.write() as session:
        for tenant in locked(session, new):
            if tenant.generation == 0 and tenant.status == Status.PENDING:
                status.report(
                    session, tenant, Status.AWAITING_REVIEW, "awaiting_review", detail="", now=now
                )
        session.execute(
            update(Deployment)
            .where(Deployment.customer_id.in_(new), Deployment.committed_at.is_(None))
            .values(committed_at=now)
        )
        session.execute(
            update(Review)
            .where(Review.id == branch.id, Review.pushed_generation < branch.generation)
            .values(
                pushed_generation=branch.generation,
                head=head,
                attempts=0,
                retry_at=None,
                last_error=None,
            )
        )

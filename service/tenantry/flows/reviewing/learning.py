"""What reviewers add to a branch: each of their commits may be what is merged, and one that leaves
a tenant's folder as main has it declines that tenant.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeGuard

import structlog
from sqlalchemy import select

from tenantry.adapters.database.session import insert_new
from tenantry.adapters.database.tables import Proposal, Review, Tenant
from tenantry.adapters.git import NOT_A_TREE
from tenantry.core import naming
from tenantry.core.errors import HandEdited
from tenantry.flows.publishing import edited, ledger
from tenantry.flows.reviewing.ending import decline_changes
from tenantry.flows.reviewing.waiting import close_if_done
from tenantry.flows.rows import locked
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()


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


def learn(service: Service, cell: Cell, review: Review, tip: str | None) -> bool:
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

"""What a tenant's branch shall show: what main must show, with the changes that wait laid on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Change, Proposal, Review, Tenant
from tenantry.adapters.git import NOT_A_TREE
from tenantry.core import naming
from tenantry.core.edits import Edit
from tenantry.core.errors import ChangeRefused
from tenantry.core.model import TenantSpec
from tenantry.core.overlay import LOCAL
from tenantry.core.review import BRANCHES, ChangeKind, lay_on
from tenantry.flows.publishing import ledger
from tenantry.flows.publishing.rendering import render_files
from tenantry.flows.publishing.sealing import sealed_values
from tenantry.flows.reviewing.subject import Subject
from tenantry.flows.service import Cell, Service


@dataclass(frozen=True)
class Wanted:
    """A tenant with changes that wait, as its rows were read."""

    spec: TenantSpec  # with the changes
    approved: TenantSpec
    kinds: tuple[ChangeKind, ...]
    changes: tuple[int, ...]  # ids
    actors: tuple[str, ...]
    is_new: bool  # main has nothing of it yet
    accepted_tree: str | None  # the folder that main has
    edit: Edit | None  # by hand, that it keeps

    @property
    def customer_id(self) -> str:
        return self.spec.customer_id

    @property
    def folder(self) -> str:
        return naming.folder(self.spec.name)


def read_wanted(
    service: Service, session: Session, cell: Cell, customer_ids: Sequence[str]
) -> list[Wanted]:
    """Those of the customers' tenants with changes that wait, by customer id."""
    rows = (
        select(Tenant, Change)
        .join(Change, Change.customer_id == Tenant.customer_id)
        .where(
            Tenant.cell == cell.name,
            Tenant.customer_id.in_(customer_ids),
            Change.outcome.is_(None),
        )
        .order_by(Tenant.customer_id, Change.id)
    )
    found: dict[str, tuple[Tenant, list[Change]]] = {}
    for tenant, change in session.execute(rows):
        found.setdefault(tenant.customer_id, (tenant, []))[1].append(change)
    return [_wanted(service, tenant, changes) for tenant, changes in found.values()]


def read_subjects(service: Service, cell: Cell, customer_ids: Sequence[str]) -> list[Subject]:
    """What a reviewer looks at of these customers' tenants, as far as changes of theirs wait: as
    their branches show them, or where there is none yet, as they will. Raises RepositoryError where
    the repository cannot be read, and what rendering raises.
    """
    head = cell.repository.fetch()
    branches = cell.repository.branches(BRANCHES)
    with service.database.read() as session:
        wanted = read_wanted(service, session, cell, customer_ids)
        tips = {each.customer_id: branches.get(_branch(session, each)) for each in wanted}
    shown = [each for each in wanted if tips[each.customer_id]]
    found = [
        subject
        for each in shown
        for subject in subjects_at(service, cell, [each], head, tips[each.customer_id])
    ]
    return found + _to_come(service, cell, [each for each in wanted if each not in shown], head)


def subjects_at(
    service: Service, cell: Cell, wanted: Sequence[Wanted], head: str | None, tip: str | None
) -> list[Subject]:
    """What a reviewer looks at, as main's `head` and the branch's `tip` show it."""
    edits = _edits(service, wanted)
    folders = [each.folder for each in wanted]
    main, there = (cell.repository.trees_at(commit, folders) for commit in (head, tip))
    found = []
    for each in wanted:
        edit = edits.get((each.customer_id, there[each.folder] or ""))
        before, after = (files_of(cell, side[each.folder]) for side in (main, there))
        found.append(_subject(each, before, after, sorted(edit.files) if edit else ()))
    return found


def _to_come(
    service: Service, cell: Cell, wanted: Sequence[Wanted], head: str | None
) -> list[Subject]:
    sealed = sealed_values(service, cell, [each.spec for each in wanted])
    standing = cell.repository.trees_at(head, [each.folder for each in wanted])
    places = {each.customer_id: f"{each.folder}/{LOCAL}" for each in wanted}
    local = cell.repository.trees_at(head, places.values())
    found = []
    for each in wanted:
        before, own = files_of(cell, standing[each.folder]), local[places[each.customer_id]]
        shall = render_files(service, cell, each.spec, sealed.of(each.spec), local=own)
        found.append(_subject(each, before, {**_local(before), **shall.files}))
    return found


def _branch(session: Session, wanted: Wanted) -> str:
    """The branch that it waits on; empty where none is chosen yet."""
    rows = (
        select(Review.branch)
        .join(Change, Change.review_id == Review.id)
        .where(Change.id.in_(wanted.changes), Review.pushed_generation > 0)
    )
    return session.scalar(rows.limit(1)) or ""


def _edits(service: Service, wanted: Sequence[Wanted]) -> dict[tuple[str, str], Edit | None]:
    """By customer and tree, what reviewers edited in it."""
    rows = select(Proposal).where(Proposal.customer_id.in_([each.customer_id for each in wanted]))
    with service.database.read() as session:
        return {
            (each.customer_id, each.tree): ledger.edit_of(each) for each in session.scalars(rows)
        }


def _subject(
    wanted: Wanted,
    before: Mapping[str, bytes],
    after: Mapping[str, bytes],
    edited: Sequence[str] = (),
) -> Subject:
    return Subject(
        wanted.customer_id,
        wanted.kinds,
        wanted.actors,
        None if wanted.is_new else wanted.approved,
        wanted.spec,
        before,
        after,
        edited,
    )


def files_of(cell: Cell, tree: str | None) -> Mapping[str, bytes]:
    """The files of a folder's tree; none where there is no folder."""
    return cell.repository.files(tree) if tree and tree != NOT_A_TREE else {}


def _local(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {path: data for path, data in files.items() if path.startswith(f"{LOCAL}/")}


def _wanted(service: Service, tenant: Tenant, changes: Sequence[Change]) -> Wanted:
    laid = [(ChangeKind(each.kind), each.fields) for each in changes]
    try:
        approved = TenantSpec.model_validate(tenant.approved)
        cell = service.cells[tenant.cell]
        spec = lay_on(approved, laid, service.product, volumes_grow=cell.volumes_grow)
    except ValidationError:
        raise ChangeRefused(f"what is wanted of {tenant.name} is not readable") from None
    return Wanted(
        spec=spec,
        approved=approved,
        kinds=tuple(kind for kind, _ in laid),
        changes=tuple(each.id for each in changes),
        actors=tuple(dict.fromkeys(each.actor for each in changes)),
        is_new=tenant.generation == 0,
        accepted_tree=tenant.accepted_tree,
        edit=ledger.edit_of(tenant),
    )

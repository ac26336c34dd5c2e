"""Branches that wait for a person are brought up to what is wanted.

Owns: the commits that we put on such a branch. An update is a commit on top, with main merged in
where the tenant's folder moved there; what a reviewer edited on the branch stays. Which trees a
branch had is recorded before it is pushed (`proposals`), so that a merge is known by its content.

Concurrency: the remote's ref fences a push, here too; a rejected one is never repeated.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Select, delete, insert, select, update
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Change as ChangeRow
from tenantry.adapters.database.tables import Deployment, Proposal, Review, Tenant
from tenantry.adapters.git import NOT_A_TREE, Change, Commit
from tenantry.core import naming
from tenantry.core.edits import Edit
from tenantry.core.errors import HandEdited, OverlayRefused, TenantryError, VaultError
from tenantry.core.model import State, Status
from tenantry.core.overlay import LOCAL, made_up
from tenantry.core.review import BRANCHES, ChangeKind, branch_of
from tenantry.flows import status
from tenantry.flows.publishing import edited, founding, ledger, turn
from tenantry.flows.publishing.example import Examples
from tenantry.flows.publishing.rendering import RenderedFiles, render_files
from tenantry.flows.publishing.retry import OF_TENANT, may_try
from tenantry.flows.publishing.sealing import sealed_values
from tenantry.flows.reviewing.waiting import open_review, waiting, waiting_on
from tenantry.flows.reviewing.wanted import Wanted, files_of, read_wanted
from tenantry.flows.rows import locked
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()
Trees = dict[str, Edit | None]  # of a folder: tree -> edit that it keeps
SIGNUPS_AT_MOST = 50  # in one pull request: what a person reads at once


@dataclass(frozen=True)
class Shown:
    """A tenant's folder as a branch shall have it."""

    wanted: Wanted
    shall: RenderedFiles


@dataclass(frozen=True)
class Branch:
    """A review that is due, as its row was read, and where its branch is."""

    id: int
    name: str
    generation: int
    head: str | None  # of the branch; None: there is none yet
    main: str


def propose_due(service: Service, cell: Cell, head: str | None) -> int:
    """Push what branches lack of the cell's open reviews, `head` being main's as last fetched; how
    many were pushed. What fails is recorded and tried again later, alone.
    """
    _gather_signups(service, cell)
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


def _gather_signups(service: Service, cell: Cell) -> None:
    """Choose the branches of signups that wait: one of its own, or one for several."""
    now = service.now()
    rows = (
        select(ChangeRow.customer_id)
        .join(Tenant, Tenant.customer_id == ChangeRow.customer_id)
        .where(
            Tenant.cell == cell.name,
            ChangeRow.kind == ChangeKind.SIGNUP,
            ChangeRow.outcome.is_(None),
            ChangeRow.review_id.is_(None),
        )
        .order_by(ChangeRow.id)
    )
    with service.database.read() as session:
        ids = session.scalars(rows).all()
    size = SIGNUPS_AT_MOST if cell.policy.batches_signups else 1
    for start in range(0, len(ids), size):
        _gather(service, cell, ids[start : start + size], now)


def _gather(service: Service, cell: Cell, customer_ids: Sequence[str], now: datetime) -> None:
    with service.database.write() as session:
        tenants = locked(session, customer_ids)
        rows = select(ChangeRow).where(
            ChangeRow.customer_id.in_(customer_ids),
            ChangeRow.outcome.is_(None),
            ChangeRow.review_id.is_(None),
        )
        changes = session.scalars(rows.order_by(ChangeRow.id)).all()
        if not changes:
            return
        together = len(tenants) > 1
        first = changes[0]
        name = f"{BRANCHES}signups-{first.id}" if together else branch_of(first.customer_id)
        review = open_review(session, cell, name, now)
        for each in changes:
            each.review_id = review.id


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
        rows = select(ChangeRow.customer_id).where(ChangeRow.review_id == review_id)
        customer_ids = sorted(set(session.scalars(rows)))
        wanted = read_wanted(service, session, cell, waiting_on(session, review_id))
        ours = _proposed(session, customer_ids)
    shown, failed = _show(service, cell, branch, wanted, ours)
    if failed and not shown:
        raise next(iter(failed.values()))
    _part(service, cell, failed)
    dropped = sorted(set(customer_ids) - {each.customer_id for each in wanted})
    changes = _changes(cell, branch, shown, dropped)
    _intend(service, branch, shown)
    if not changes:
        _record(service, branch, branch.head, wanted)
        return False
    parent = branch.head or main
    built = cell.repository.propose(parent, changes, service.now())
    moved = cell.repository.move({branch.name: built[-1].sha})
    if branch.name in moved.errors:
        raise moved.errors[branch.name]
    _record(service, branch, _tip(built), wanted)
    log.info("review.pushed", branch=branch.name, commit=_tip(built))
    return True


def _tip(built: Sequence[Commit]) -> str:
    return built[-1].sha


def _proposed(session: Session, customer_ids: Sequence[str]) -> dict[str, Trees]:
    """By customer: the trees that its folder had on branches, and the edits that they keep. Also of
    earlier reviews: a branch may be left from one.
    """
    rows = select(Proposal).where(Proposal.customer_id.in_(customer_ids)).order_by(Proposal.id)
    found: dict[str, Trees] = {}
    for each in session.scalars(rows):
        found.setdefault(each.customer_id, {})[each.tree] = ledger.edit_of(each)
    return found


def _show(
    service: Service,
    cell: Cell,
    branch: Branch,
    wanted: Sequence[Wanted],
    ours: Mapping[str, Trees],
) -> tuple[list[Shown], dict[str, TenantryError]]:
    """The tenants' folders, checked as what goes to main is; and by customer, why others must not
    be shown, or cannot without overwriting what a reviewer edited.
    """
    sealed = sealed_values(service, cell, [each.spec for each in wanted])
    place = branch.head or branch.main
    paths = [p for each in wanted for p in (each.folder, f"{each.folder}/{LOCAL}")]
    trees = cell.repository.trees_at(place, paths)
    main = cell.repository.trees_at(branch.main, [each.folder for each in wanted])
    shown: list[Shown] = []
    failed: dict[str, TenantryError] = {}
    for each in wanted:
        local = trees[f"{each.folder}/{LOCAL}"]
        proposed = ours.get(each.customer_id, {})
        try:
            shall = render_files(service, cell, each.spec, sealed.of(each.spec), local=local)
            shall = _keep(cell, each, proposed, shall, (trees[each.folder], main[each.folder]))
            _check(service, cell, branch, each, shall)
        except (OverlayRefused, HandEdited, VaultError) as error:
            failed[each.customer_id] = error
        else:
            shown.append(Shown(each, shall))
    return shown, failed


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


def _keep(
    cell: Cell,
    wanted: Wanted,
    proposed: Trees,
    shall: RenderedFiles,
    standing: tuple[str | None, str | None],
) -> RenderedFiles:
    """The folder with what people edited in it, on the branch or on main (`standing`). HandEdited
    where they edited what would change, or both.
    """
    branch, main = standing
    accepted: Trees = {wanted.accepted_tree: wanted.edit} if wanted.accepted_tree else {}
    if branch == main or _is_as_made(proposed, branch):
        return _carry(cell, accepted, shall, main)
    kept = _carry(cell, proposed | accepted, shall, branch)
    of_main = _carry(cell, accepted, shall, main).edit
    of_branch = kept.edit.files if kept.edit else {}
    if of_main and any(of_branch.get(name) != files for name, files in of_main.files.items()):
        raise HandEdited(
            "the tenant's folder was edited by hand on main, and on the branch",
            remedy="have what main has on the branch, too",
        )
    return kept


def _carry(cell: Cell, ours: Trees, shall: RenderedFiles, standing: str | None) -> RenderedFiles:
    if standing is None or standing == shall.tree or not ours or _is_as_made(ours, standing):
        return shall
    return edited.carry_onto(cell, ours, shall, standing)


def _is_as_made(ours: Trees, standing: str | None) -> bool:
    return standing in ours and ours[standing] is None


def _check(
    service: Service, cell: Cell, branch: Branch, wanted: Wanted, shall: RenderedFiles
) -> None:
    spec = wanted.spec
    trees = cell.repository.trees_at(branch.main, founding.paths(service, cell))
    trees |= cell.repository.trees_at(branch.main, [naming.platform_folder(spec.platform)])
    platform = founding.platform_files(service, cell, trees, spec.platform)
    local = cell.repository.files(shall.keeps[LOCAL]) if shall.keeps else {}
    is_of_class = shall.edit is None
    cell.checker.verify(spec, shall.files, platform=platform, local=local, is_of_class=is_of_class)


def _changes(
    cell: Cell, branch: Branch, shown: Sequence[Shown], dropped: Sequence[str]
) -> list[Change]:
    """The commits that the branch lacks: main merged in where a folder moved there, one for each
    tenant that differs, and one for each whose changes no longer wait.
    """
    place = branch.head or branch.main
    gone = [naming.folder_of(each) for each in dropped]
    folders = [*(each.wanted.folder for each in shown), *gone]
    there = cell.repository.trees_at(place, folders)
    main = cell.repository.trees_at(branch.main, folders)
    found = []
    if branch.head and _moved(cell, branch, folders, main):
        keeps = {path: tree for path, tree in there.items() if tree and tree != NOT_A_TREE}
        found.append(Change("", {}, "Merge main\n", keeps, merges=branch.main))
    found += [_change(each) for each in shown if each.shall.tree != there[each.wanted.folder]]
    found += [
        _restore(cell, folder, main[folder]) for folder in gone if there[folder] != main[folder]
    ]
    return found


def _moved(
    cell: Cell, branch: Branch, folders: Sequence[str], main: Mapping[str, str | None]
) -> bool:
    """Whether the folders are otherwise on main than where the branch left it."""
    fork = cell.repository.fork(str(branch.head), branch.main)
    return cell.repository.trees_at(fork, folders) != main


def _change(shown: Shown) -> Change:
    spec, wanted = shown.wanted.spec, shown.wanted
    verb = "Provision" if wanted.is_new else "Update"
    message = (
        f"{verb} {spec.customer_id}: {spec.plan}, {spec.state}\n\n"
        f"Customer-Id: {spec.customer_id}\nChange: {', '.join(wanted.kinds)}\n"
        f"Platform: {spec.platform}\nLicense-Id: {spec.license_id}\n"
    )
    return Change(wanted.folder, shown.shall.files, message, shown.shall.keeps)


def _restore(cell: Cell, folder: str, tree: str | None) -> Change:
    """The folder as main has it, which may be not at all."""
    return Change(folder, files_of(cell, tree), f"Leave {folder} as it is on main: declined\n")


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

"""A tenant's folder as a branch under review shall have it, with what people edited in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Proposal
from tenantry.core import naming
from tenantry.core.edits import Edit
from tenantry.core.errors import HandEdited, OverlayRefused, TenantryError, VaultError
from tenantry.core.overlay import LOCAL
from tenantry.flows.publishing import edited, founding, ledger
from tenantry.flows.publishing.rendering import RenderedFiles, render_files
from tenantry.flows.publishing.sealing import sealed_values
from tenantry.flows.reviewing.wanted import Wanted
from tenantry.flows.service import Cell, Service

Trees = dict[str, Edit | None]  # of a folder: tree -> edit that it keeps


@dataclass(frozen=True)
class Branch:
    """A review that is due, as its row was read, and where its branch is."""

    id: int
    name: str
    generation: int
    head: str | None  # of the branch; None: there is none yet
    main: str


@dataclass(frozen=True)
class Shown:
    """A tenant's folder as a branch shall have it."""

    wanted: Wanted
    shall: RenderedFiles


def read_proposed(session: Session, customer_ids: Sequence[str]) -> dict[str, Trees]:
    """By customer: the trees that its folder had on branches, and the edits that they keep. Also of
    earlier reviews: a branch may be left from one.
    """
    rows = select(Proposal).where(Proposal.customer_id.in_(customer_ids)).order_by(Proposal.id)
    found: dict[str, Trees] = {}
    for each in session.scalars(rows):
        found.setdefault(each.customer_id, {})[each.tree] = ledger.edit_of(each)
    return found


def show(
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

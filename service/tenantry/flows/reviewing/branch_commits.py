"""The commits that a branch under review lacks of what it shall show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tenantry.adapters.git import NOT_A_TREE, Change
from tenantry.core import naming
from tenantry.flows.reviewing.folders import Branch, Shown
from tenantry.flows.reviewing.wanted import files_of
from tenantry.flows.service import Cell


def commits_for(
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

"""What people changed in a tenant's folder on main, and how it stays while we publish.

Owns: that nothing a person wrote is overwritten, unless an operator names the tenant. `local/` is
the reviewers' own, and not looked at here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tenantry.adapters.git import NOT_A_TREE, Entry
from tenantry.core.edits import Carried, Edit, carry, changes, undo
from tenantry.core.errors import HandEdited
from tenantry.core.finding import MISSING
from tenantry.core.gittree import FILE_MODE, blob_id, tree_id
from tenantry.core.overlay import LOCAL
from tenantry.core.record import RECORD
from tenantry.core.sources import MOST_PER_FILE
from tenantry.flows.publishing import ledger
from tenantry.flows.publishing.due import Due
from tenantry.flows.publishing.rendering import RenderedFiles
from tenantry.flows.service import Cell, Service

Ours = Mapping[str, Edit | None]  # by tree, the edit that it keeps
Files = Mapping[str, str]  # by name, the blob id

IN_LOCAL = f"have the change in {LOCAL}/ instead, or have it dropped (`tenantry repo audit`)"


def keep_edits(
    service: Service, cell: Cell, due: Due, shall: RenderedFiles, standing: str | None
) -> RenderedFiles:
    """What the folder shall be: as it was rendered, with what people changed in files that this
    leaves as they were. HandEdited where they changed what it changes too, or took the folder back.
    """
    ours = {due.accepted_tree: due.edit} | {push.tree: push.edit for push in due.intended}
    if standing == shall.tree or (standing or MISSING) == due.replaces:
        return shall
    if standing in ours and ours[standing] is None:
        return shall
    if standing is None:
        raise HandEdited("the tenant's folder was removed from main by hand")
    if standing not in ours:
        _require_new(service, due, standing)
    edits = {tree: edit for tree, edit in ours.items() if tree}
    return carry_onto(cell, edits, shall, standing)


def carry_onto(cell: Cell, ours: Ours, shall: RenderedFiles, standing: str) -> RenderedFiles:
    """What was rendered, with what people made of the nearest of `ours` where this changes nothing.
    HandEdited where it does, or where that cannot be told.
    """
    base, theirs, _ = _compare(cell, ours, standing)
    carried = carry(base, theirs, {name: blob_id(data) for name, data in shall.files.items()})
    # what ApplicationSets read must say what is wanted, whoever edits it
    untouchable = {RECORD}.intersection(carried.edited)
    if conflicts := sorted({*carried.conflicts, *untouchable}):
        what = f"was edited by hand where it has to change: {', '.join(conflicts)}"
        raise HandEdited(f"the tenant's folder {what}", remedy=IN_LOCAL)
    if not carried.kept:
        return shall
    files = _contents(cell, shall.files, carried)
    tree, edit = tree_id(files, folders=shall.keeps), Edit(shall.tree, carried.kept)
    return RenderedFiles(files, shall.keeps, tree, edit)


def find_edit(cell: Cell, ours: Ours, standing: str) -> Edit | None:
    """What people made of the nearest of `ours` (tree -> edit that it keeps); None: nothing.
    HandEdited where that cannot be told.
    """
    base, theirs, rendered = _compare(cell, ours, standing)
    changed = changes(base, theirs)
    return Edit(rendered, changed) if changed else None


def _require_new(service: Service, due: Due, standing: str) -> None:
    """HandEdited where somebody reverted the folder to what it was: that is meant as a whole."""
    customer_id = due.spec.customer_id
    with service.database.read() as session:
        if (customer_id, standing) in ledger.accepted_once(session, [customer_id]):
            raise HandEdited("the tenant's folder was edited by hand: it was reverted on main")


def _compare(cell: Cell, ours: Ours, standing: str) -> tuple[Files, Files, str]:
    """What we rendered, what people made of it, and the tree that the first is of."""
    if standing == NOT_A_TREE:
        raise HandEdited("on main there is something else in place of the tenant's folder")
    theirs = _plain_files(cell, standing)
    origin = _nearest(cell, theirs, ours)
    edit = ours[origin]
    base = _plain_files(cell, origin)
    return undo(base, edit.files if edit else {}), theirs, edit.rendered if edit else origin


def _nearest(cell: Cell, theirs: Files, ours: Collection[str]) -> str:
    """The tree of ours that differs least. One may never have been pushed, and be unknown here."""
    found = cell.repository.trees((tree, "") for tree in ours)
    known = [tree for (tree, _), there in found.items() if there]
    if not known:
        raise HandEdited
    return min(known, key=lambda tree: len(changes(_plain_files(cell, tree), theirs)))


def _plain_files(cell: Cell, tree: str) -> Files:
    """A folder's own files. HandEdited where it holds anything that we would not write."""
    beside = f"{LOCAL}/"
    own = [each for each in cell.repository.entries(tree) if not each.path.startswith(beside)]
    if odd := [each.path for each in own if not _is_plain(each)]:
        message = "the tenant's folder was edited by hand, and holds more than plain files: "
        raise HandEdited(message + ", ".join(odd[:3]), remedy=IN_LOCAL)
    return {entry.path: entry.id for entry in own}


def _is_plain(entry: Entry) -> bool:
    return entry.mode == FILE_MODE and "/" not in entry.path and entry.path.isprintable()


def _contents(
    cell: Cell, rendered: Mapping[str, bytes], carried: Carried[str]
) -> Mapping[str, bytes]:
    written = {name: carried.files[name] for name in carried.edited if name in carried.files}
    sizes = cell.repository.sizes(written.values())
    if large := [name for name, blob in written.items() if sizes[blob] >= MOST_PER_FILE]:
        raise HandEdited(f"the tenant's folder was edited by hand; too large: {', '.join(large)}")
    blobs = dict(cell.repository.blobs(written.values()))
    return {
        name: blobs[blob] if name in written else rendered[name]
        for name, blob in carried.files.items()
    }

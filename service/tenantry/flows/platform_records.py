"""What each platform version of a cell stands for: recorded when main first has it, for good.

Owns: what is wrong with a version. Its tree on main must be the recorded one; a number that was
taken away may come back, with the same tree.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.database.session import insert_new
from tenantry.adapters.database.tables import Platform
from tenantry.adapters.git import NOT_A_TREE
from tenantry.core import naming
from tenantry.flows.audit_rows import audited
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()
Book = Mapping[str, Platform]  # by version
NEW_VERSION = "give what changed a new version in product.yaml, and its folder that name"
TOLD_AT_MOST = 64  # folders that differ, by this process


@dataclass(frozen=True)
class Seen:
    """A version as main has it: its tree, and the commit that made it so."""

    version: str
    tree: str
    commit: str


def read(service: Service, cell: Cell) -> Book:
    """All that is recorded of the cell; a version that was taken away has `removed_at`."""
    rows = select(Platform).where(Platform.cell == cell.name).order_by(Platform.version)
    with service.database.read() as session:
        return {row.version: row for row in session.scalars(rows)}


def find_fault(service: Service, book: Book, version: str, standing: str | None) -> str:
    """Why nothing that runs this version can be published, where main has it as `standing` (a
    tree's id, NOT_A_TREE, or None where it is not there); "" where it can.
    """
    known = book.get(version)
    if standing is None and version != service.product.platform:
        return f"main has no platform/{version}: bring it back (git revert)"
    if standing is None:
        return _refuse_ours(service, known)
    if known and known.tree != standing:
        return (
            f"platform/{version} on main is not what it was published as: take back what changed "
            "it (`tenantry repo audit` names the commits, git revert)"
        )
    return ""


def find_change(version: str, tree: str, known: Platform | None) -> str:
    """How the product's folder, whose version and tree these are, differs from what the version
    stands for; "" where it does not.
    """
    if known is None or known.tree == tree:
        return ""
    told = (
        f"{naming.platform_folder(version)} of the product is not what version {version} was "
        f"published as in cell {known.cell}"
    )
    if known.removed_at:
        told += f", and what was removed ({known.removed_at:%Y-%m-%d}) may only come back as it was"
    return told


def _refuse_ours(service: Service, known: Platform | None) -> str:
    changed = find_change(service.product.platform, service.platform_tree, known)
    return f"{changed}: {NEW_VERSION}" if changed else ""


def warn_of_change(service: Service, book: Book) -> None:
    """Log it, once, where the product's folder is not what main has: that is what tenants get."""
    version, tree = service.product.platform, service.platform_tree
    if change := find_change(version, tree, book.get(version)):
        _warn(change, tree)


@lru_cache(TOLD_AT_MOST)
def _warn(change: str, tree: str) -> None:
    log.warning("platform.folder_differs", detail=change, tree=tree, remedy=NEW_VERSION)


def find_new(cell: Cell, book: Book, versions: Collection[str], head: str | None) -> Sequence[Seen]:
    """Those of the versions that main has at `head` and that are not recorded as being there."""
    new = sorted(each for each in versions if each not in book or book[each].removed_at)
    if not new or head is None:
        return []
    folders = {each: naming.platform_folder(each) for each in new}
    trees = cell.repository.trees_at(head, folders.values())
    return [
        Seen(each, tree, cell.repository.last_commit(folder))
        for each, folder in folders.items()
        if (tree := trees[folder]) not in (None, NOT_A_TREE)
    ]


def record(
    session: Session, cell: Cell, seen: Sequence[Seen], *, actor: str, now: datetime
) -> None:
    """That main has these. What a version stands for is never changed by it."""
    for each in seen:
        known = session.get(Platform, (cell.name, each.version), with_for_update=True)
        if known is None:
            row = {"cell": cell.name, "version": each.version, "tree": each.tree}
            insert_new(session, Platform, [{**row, "commit": each.commit, "published_at": now}])
        elif known.removed_at and known.tree == each.tree:
            known.removed_at = None
        else:
            continue
        told = {"cell": cell.name, "version": each.version, "commit": each.commit}
        session.add(audited("platform.published", actor=actor, now=now, **told))
        log.info("platform.published", **told)


def record_removed(
    session: Session, cell: Cell, removed: Mapping[str, str], *, actor: str, now: datetime
) -> None:
    """That main has these versions no longer: version -> commit that took it away."""
    for version, commit in removed.items():
        known = session.get(Platform, (cell.name, version), with_for_update=True)
        if known:
            known.removed_at = now
        told = {"cell": cell.name, "version": version, "commit": commit}
        session.add(audited("platform.removed", actor=actor, now=now, **told))
        log.info("platform.removed", **told)

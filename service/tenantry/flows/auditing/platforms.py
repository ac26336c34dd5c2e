"""Platform versions that somebody changed on main, and by which commits.

No repair touches them: whoever changed one is asked to take it back, and to make a new version.
"""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.adapters.database.tables import Platform
from tenantry.core import naming
from tenantry.core.finding import Finding, Kind
from tenantry.flows import platform_records
from tenantry.flows.service import Cell, Service

NAMED_AT_MOST = 10  # commits


def find_changed(service: Service, cell: Cell, head: str) -> Iterator[Finding]:
    """A finding for each version that main has otherwise than it was published, or no longer. What
    differs at `head` is looked at once more: a version may be published or removed meanwhile.
    """
    if _differing(service, cell, head) and (now := cell.repository.fetch()):
        for row in _differing(service, cell, now):
            yield _finding(cell, row, now)


def _differing(service: Service, cell: Cell, head: str) -> list[Platform]:
    rows = [row for row in platform_records.read(service, cell).values() if row.removed_at is None]
    folders = {row.version: naming.platform_folder(row.version) for row in rows}
    found = cell.repository.trees_at(head, folders.values())
    return [row for row in rows if found[folders[row.version]] != row.tree]


def _finding(cell: Cell, row: Platform, head: str) -> Finding:
    folder = naming.platform_folder(row.version)
    commits = cell.repository.commits_on(folder, row.commit, head)[:NAMED_AT_MOST]
    return Finding(
        Kind.PLATFORM_CHANGED,
        "is not what it was published as; its tenants are not published until it is; changed by "
        f"{', '.join(each[:12] for each in commits) or 'a commit that is not in its history'}",
        f"git revert {' '.join(each[:12] for each in commits)}".strip() + ", and publish what was "
        "meant as a new version",
        path=folder,
    )

"""What lies on main and belongs to nobody: folders, files, and Secrets that are not sealed. Memory
is bounded, whatever somebody pushes.

Nothing here is ever deleted by a repair: who put it there is asked first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from sqlalchemy import select

from tenantry.adapters.database.tables import Tenant
from tenantry.adapters.git import Entry
from tenantry.adapters.process import MEBIBYTE
from tenantry.core import naming
from tenantry.core.finding import Finding, Kind
from tenantry.core.overlay import LOCAL
from tenantry.core.plain_secret import holds_plain_secret
from tenantry.core.sources import is_further_record
from tenantry.flows.fleet.bulk import PAGE, split
from tenantry.flows.service import Cell, Service

_FOLDER = re.compile(rf"(tenants/[0-9a-f]{{2}}/customer-{naming.KEY.pattern})/(.+)", re.DOTALL)
_PLATFORM = re.compile(r"platform/[a-z0-9]([a-z0-9.-]{0,30}[a-z0-9])?/.+", re.DOTALL)
SCANNED_AT_ONCE = 200  # files
SCANNED_AT_MOST = MEBIBYTE  # of a file; Kubernetes takes no object that is larger


def find_strays(
    service: Service, cell: Cell, head: str, sound: Collection[str]
) -> Iterator[Finding]:
    """Folders and files of the commit that belong to nobody, and plain Secrets outside `sound`:
    the tenants' folders whose files, but for `local/`, are ours.
    """
    foreign: dict[str, None] = {}
    reading: list[Entry] = []
    for entry in cell.repository.entries(head):
        folder, name = _split(entry.path)
        if folder and folder not in sound:
            foreign[folder] = None
        if finding := _judge_place(entry.path, folder):
            yield finding
        if entry.kind == "blob" and not (folder in sound and not name.startswith(f"{LOCAL}/")):
            reading.append(entry)
        if len(reading) == SCANNED_AT_ONCE:
            yield from _find_secrets(cell, reading)
            reading.clear()
    yield from _find_secrets(cell, reading)
    yield from _find_unknown(service, cell, foreign)


def _split(path: str) -> tuple[str, str]:
    """A tenant's folder and the path within it; empty where the path is in no such folder."""
    found = _FOLDER.fullmatch(path)
    return (found[1], found[2]) if found else ("", "")


def _judge_place(path: str, folder: str) -> Finding | None:
    if path.startswith("tenants/") and not folder:
        message = "belongs to no tenant's folder"
    elif is_further_record(path.removeprefix(f"{folder}/")) and folder:
        message = "is a second record of a tenant, which keeps all new ones of its shard waiting"
    elif path.startswith("platform/") and not _PLATFORM.fullmatch(path):
        message = "belongs to no platform version"
    else:
        return None
    remedy = "ask who put it there (git log), and remove it where nobody needs it"
    return Finding(Kind.UNKNOWN_FILE, message, remedy, path=path)


def _find_secrets(cell: Cell, entries: Sequence[Entry]) -> Iterator[Finding]:
    paths: dict[str, list[str]] = {}
    sizes = cell.repository.sizes(entry.id for entry in entries)
    for entry in entries:
        if sizes[entry.id] > SCANNED_AT_MOST:
            yield _too_large(entry.path)
        else:
            paths.setdefault(entry.id, []).append(entry.path)
    for blob, content in cell.repository.blobs(paths):
        for path in paths[blob]:
            if holds_plain_secret(path, content):
                yield Finding(
                    Kind.PLAIN_SECRET,
                    "holds a Secret that is not sealed: all who read the repository can read it",
                    "change what it held, seal it (kubeseal), and remove it; its history stays",
                    path=path,
                )


def _too_large(path: str) -> Finding:
    message = "is larger than 1 MiB, so nobody looked whether it holds a Secret"
    remedy = "look into it, and keep what is no manifest elsewhere"
    return Finding(Kind.UNKNOWN_FILE, message, remedy, path=path)


def _find_unknown(service: Service, cell: Cell, folders: Iterable[str]) -> Iterator[Finding]:
    """Folders of tenants that the cell's database does not know, or knows elsewhere."""
    for page in split(folders, PAGE):
        names = [folder.rpartition("/")[2] for folder in page]
        rows = select(Tenant.name).where(Tenant.name.in_(names), Tenant.cell == cell.name)
        with service.database.read() as session:
            known = {naming.folder(name) for name in session.scalars(rows)}
        for folder in page:
            if folder not in known:
                yield Finding(
                    Kind.UNKNOWN_TENANT,
                    "a tenant's folder, and no tenant of the database belongs there",
                    "where it came back from a backup or another installation, ask there; remove "
                    "it by hand only then: Argo CD deploys it",
                    path=folder,
                )

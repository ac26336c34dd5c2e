"""Taking platform versions from main that nobody runs any more.

Owns: what counts as in use. A version is, where a tenant's row or a tenant's record on main names
it, where new tenants get it, and where it is the last. A number that was taken away may come back,
with the same tree: so may one that a signup began to use in the moment between look and push.

Concurrency: what is in use is looked at again under the publisher's lease, on the head that is
built on; a push that is rejected begins all over.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tenantry.adapters.git import Change
from tenantry.core import naming
from tenantry.flows import flags, platform_records
from tenantry.flows.platform_records import Book
from tenantry.flows.platforms import usage
from tenantry.flows.publishing import history, ledger, turn
from tenantry.flows.service import Cell, Service


@dataclass(frozen=True)
class _Main:
    known: str | None  # head of main as the database had it
    head: str | None
    book: Book
    unused: Sequence[str]  # versions on main
    lost: Sequence[str]  # that are recorded as being there and are not, and that nobody runs


def find_unused(service: Service, cell: Cell) -> Sequence[str]:
    """The versions on main that nobody runs. HistoryRewritten, RepositoryError."""
    return _read(service, cell).unused


def prune(service: Service, cell: Cell, versions: Collection[str], *, actor: str) -> Sequence[str]:
    """Take those of the versions from main that nobody runs, a commit each; which they were.
    HistoryRewritten, LeaseLost, RepositoryError: after any of them it is safe to call again.
    """
    return turn.until_it_lands(cell, lambda: _try(service, cell, versions, actor))


def _try(service: Service, cell: Cell, versions: Collection[str], actor: str) -> Sequence[str]:
    main = _read(service, cell)
    removing = [each for each in main.unused if each in versions]
    removed: dict[str, str] = {each: str(main.head) for each in main.lost}
    head = main.head
    if removing:
        changes = [_removal(each) for each in removing]
        commits = cell.repository.build(head, changes, service.now())
        flags.require_publishing(service)
        turn.push(cell)
        removed |= {each: made.sha for each, made in zip(removing, commits, strict=True)}
        head = commits[-1].sha
    _record(service, cell, main, removed, head, actor)
    return removing


def _read(service: Service, cell: Cell) -> _Main:
    known, head = history.fetch(service, cell)
    book = platform_records.read(service, cell)
    there = list(usage.folders(cell, head))
    used = {service.product.platform, *usage.read_shown(cell, head)}
    used |= usage.count_tenants(service, cell).keys()  # last: a signup may come meanwhile
    unused = [each for each in there if each not in used]
    if len(unused) == len(there):
        unused = unused[:-1]
    absent = {each for each, row in book.items() if row.removed_at is None}.difference(there, used)
    return _Main(known, head, book, unused, sorted(absent))


def _removal(version: str) -> Change:
    message = f"Remove platform version {version}\n\nNo tenant runs it.\n"
    return Change(naming.platform_folder(version), {}, message)


def _record(
    service: Service,
    cell: Cell,
    main: _Main,
    removed: Mapping[str, str],
    head: str | None,
    actor: str,
) -> None:
    with service.database.write() as session:
        now = service.now()
        platform_records.record_removed(session, cell, removed, actor=actor, now=now)
        ledger.see(session, cell, main.known, head)

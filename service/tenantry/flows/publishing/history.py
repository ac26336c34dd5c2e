"""Whether main is still the one that was published to."""

from __future__ import annotations

from tenantry.core.errors import HistoryRewritten
from tenantry.flows.publishing import retry
from tenantry.flows.service import Cell, Service

ACCEPT = "restore main, or let it be so: `tenantry repo accept-history`"


def is_rewritten(cell: Cell, known: str | None, head: str | None) -> bool:
    """Whether main, which was last seen at `known` (None: never), is at a `head` (None: it is gone)
    that does not descend from there.
    """
    if known in (None, head):
        return False
    return head is None or not cell.repository.descends(head, str(known))


def fetch(service: Service, cell: Cell) -> tuple[str | None, str | None]:
    """The head of main that was known before, and the one that the remote has. HistoryRewritten
    where the one does not lead to the other, or it is known that an earlier one did not.
    """
    with service.database.read() as session:  # before the fetch: others may publish after it
        row = retry.read_repository(session, cell)
    if row.halted:
        raise HistoryRewritten(row.halted)
    head = cell.repository.fetch()
    if is_rewritten(cell, row.head, head):
        raise HistoryRewritten(
            f"main of cell {cell.name} was at {row.head} and is now at {head or 'nothing'}, which "
            "does not descend from it",
            remedy=ACCEPT,
        )
    return row.head, head

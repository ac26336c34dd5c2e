"""Whether main is still the one that was published to."""

from __future__ import annotations

from tenantry.flows.service import Cell

ACCEPT = "restore main, or let it be so: `tenantry repo accept-history`"


def is_rewritten(cell: Cell, known: str | None, head: str | None) -> bool:
    """Whether main, which was last seen at `known` (None: never), is at a `head` (None: it is gone)
    that does not descend from there.
    """
    if known in (None, head):
        return False
    return head is None or not cell.repository.descends(head, str(known))

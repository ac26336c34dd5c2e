"""What webhooks say: that something moved, and nothing else. Reviews are looked at again at once,
where Git says what is true; what a webhook did not bring, the next poll finds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from tenantry.adapters.database.session import insert_new
from tenantry.adapters.database.tables import Repository
from tenantry.core.webhook import is_genuine
from tenantry.flows.service import Cell, Service

# A forge sends several messages for one click, and anybody may replay one that was overheard: hints
# are never closer than this.
APART = timedelta(seconds=1)


def listening(service: Service, kind: str) -> list[Cell]:
    """The cells that take webhooks of such a forge; none where no secret is set."""
    return [
        cell
        for cell in service.cells.values()
        if cell.forge and cell.forge.kind == kind and cell.webhook_secret
    ]


def meant(cells: Sequence[Cell], kind: str, headers: Mapping[str, str], body: bytes) -> list[Cell]:
    """Those of the cells whose secret the message proves to know; mostly one or none."""
    return [
        cell
        for cell in cells
        if cell.webhook_secret and is_genuine(kind, headers, body, cell.webhook_secret())
    ]


def hint(service: Service, cell: Cell) -> None:
    """Have the cell's reviews looked at now, or in a moment where they were just hinted at.
    DatabaseUnavailable where that cannot be noted.
    """
    with service.database.write() as session:
        insert_new(session, Repository, [{"cell": cell.name}])
        row = session.get_one(Repository, cell.name, with_for_update=True)
        row.hinted_at = _next(row.hinted_at, service.now())


def _next(last: datetime | None, now: datetime) -> datetime:
    """When to look. The last hint may be over already, so one that comes right after it is not
    dropped but put off; one that was put off stands for all that come before it is due.
    """
    if last is None or not now - APART < last <= now + APART:
        return now
    return last if last > now else last + APART

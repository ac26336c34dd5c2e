"""What webhooks say: that something moved, and nothing else. Reviews are looked at again at once,
where Git says what is true; what a webhook did not bring, the next poll finds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import or_, update

from tenantry.adapters.database.session import insert_new
from tenantry.adapters.database.tables import Repository
from tenantry.core.webhook import is_genuine
from tenantry.flows.service import Cell, Service

# A forge sends several messages for one click, and anybody may replay one that was overheard:
# within this time they count as one.
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
    """Have the cell's reviews looked at now. DatabaseUnavailable where that cannot be noted."""
    now = service.now()
    is_recent = Repository.hinted_at.between(now - APART, now)
    row = update(Repository).where(
        Repository.cell == cell.name, or_(Repository.hinted_at.is_(None), ~is_recent)
    )
    with service.database.write() as session:
        insert_new(session, Repository, [{"cell": cell.name}])
        session.execute(row.values(hinted_at=now))

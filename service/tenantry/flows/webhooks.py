"""What webhooks say: that something moved, and nothing else. Who it is about is looked at again at
once, reviews in Git and tenants at Argo CD, which say what is true; what a webhook did not bring,
the next poll finds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import structlog
from sqlalchemy.orm import Session

from tenantry.adapters.database.session import insert_new
from tenantry.adapters.database.tables import Repository, Watch
from tenantry.core.errors import SettingsError
from tenantry.core.webhook import ARGOCD, is_genuine
from tenantry.flows.service import Cell, Service
from tenantry.flows.telling import tell_now_and_then

log = structlog.get_logger()

# A click, or a sync, makes several messages, and anybody may replay one that was overheard: hints
# are never closer than this.
APART = timedelta(seconds=1)

Row = TypeVar("Row", Watch, Repository)


def listening(service: Service, kind: str) -> list[Cell]:
    """The cells that take webhooks of this kind; none where no secret is set."""
    return [cell for cell in service.cells.values() if _secret(cell, kind)]


def meant(
    service: Service, cells: Sequence[Cell], kind: str, headers: Mapping[str, str], body: bytes
) -> list[Cell]:
    """Those of the cells whose secret the message proves to know; mostly one or none. A cell whose
    secret cannot be read is passed over; SettingsError where that leaves none.
    """
    found, unread = [], None
    for cell in cells:
        try:
            if (secret := _secret(cell, kind)) and is_genuine(kind, headers, body, secret()):
                found.append(cell)
        except SettingsError as error:
            details = {"cell": cell.name, "detail": error.message}
            tell_now_and_then(service, "hook.no_secret", log.error, **details)
            unread = error
    if unread and not found:
        raise unread
    return found


def _secret(cell: Cell, kind: str) -> Callable[[], str] | None:
    """What messages of this kind prove to know; None: the cell takes none."""
    if kind == ARGOCD:
        return cell.notifications_token
    return cell.webhook_secret if cell.forge and cell.forge.kind == kind else None


def hint(service: Service, cell: Cell, kind: str) -> None:
    """Have the cell's reviews, or its tenants at Argo CD, looked at now; in a moment where they
    were just hinted at. DatabaseUnavailable where that cannot be noted.
    """
    with service.database.write() as session:
        row: Watch | Repository = (
            _row(session, Watch, cell) if kind == ARGOCD else _row(session, Repository, cell)
        )
        row.hinted_at = _next(row.hinted_at, service.now())


def _row(session: Session, table: type[Row], cell: Cell) -> Row:
    insert_new(session, table, [{"cell": cell.name}])
    return session.get_one(table, cell.name, with_for_update=True)


def _next(last: datetime | None, now: datetime) -> datetime:
    """When to look. The last hint may be over already, so one that comes right after it is not
    dropped but put off; one that was put off stands for all that come before it is due.
    """
    if last is None or not now - APART < last <= now + APART:
        return now
    return last if last > now else last + APART

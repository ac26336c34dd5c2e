"""Switches for operators: signups are closed, publishing is paused, nothing is written.

A row stands only for a switch that was moved from where it usually is. Whoever is kept from
something by one loses nothing: it is done once the switch is back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from tenantry.adapters.database.session import upsert
from tenantry.adapters.database.tables import Flag
from tenantry.core.errors import PublishPaused, ReadOnlyService
from tenantry.core.model import FlagName
from tenantry.flows.audit_rows import audited
from tenantry.flows.service import Service

LOOK_AGAIN = 1.0  # seconds, for what waits for a switch
USUAL: Mapping[FlagName, bool] = {
    FlagName.SIGNUPS_OPEN: True,
    FlagName.PUBLISH_PAUSED: False,
    FlagName.READ_ONLY_SERVICE: False,
}


@dataclass(frozen=True)
class Switch:
    """Where a switch stands, and who moved it, when and why."""

    name: FlagName
    is_on: bool
    set_at: datetime | None = None  # None: it is where it usually is
    actor: str = ""
    note: str = ""

    @property
    def is_moved(self) -> bool:
        """Whether it is elsewhere than usual."""
        return self.is_on != USUAL[self.name]

    @property
    def back(self) -> str:
        """The command that moves it back."""
        return f"tenantry flags set {self.name} {'on' if USUAL[self.name] else 'off'}"

    def as_text(self) -> str:
        """For people."""
        stands = f"{self.name} is {'on' if self.is_on else 'off'}"
        if self.set_at is None:
            return stands
        why = f": {self.note}" if self.note else ""
        return f"{stands} since {self.set_at:%Y-%m-%d %H:%M:%S}Z by {self.actor}{why}"


def read_flags(service: Service) -> tuple[Switch, ...]:
    """Every switch as it stands; one query."""
    with service.database.read() as session:
        return stand(session)


def stand(session: Session) -> tuple[Switch, ...]:
    """The same in a session."""
    rows = {row.name: row for row in session.scalars(select(Flag))}
    return tuple(_switch(name, rows.get(name)) for name in FlagName)


def _switch(name: FlagName, row: Flag | None) -> Switch:
    if row is None:
        return Switch(name, USUAL[name])
    return Switch(name, row.is_on, row.set_at, row.actor, row.note)


def set_flag(service: Service, name: FlagName, *, is_on: bool, why: str, actor: str) -> None:
    """Move a switch, or move it back; what it was set for last is forgotten."""
    now = service.now()
    row = {"name": name, "is_on": is_on, "set_at": now, "actor": actor, "note": why}
    with service.database.write() as session:
        if is_on == USUAL[name]:
            session.execute(delete(Flag).where(Flag.name == name))
        else:
            upsert(session, Flag, [row])
        session.add(audited("flag.set", actor=actor, now=now, flag=name, on=is_on, why=why))


def require_publishing(service: Service) -> None:
    """PublishPaused or ReadOnlyService while nothing is to be pushed."""
    moved = _moved(service)
    if FlagName.PUBLISH_PAUSED in moved:
        remedy = moved[FlagName.PUBLISH_PAUSED].back
        raise PublishPaused(remedy=remedy, retry_after=LOOK_AGAIN)
    _require_writing(moved)


def require_writing(service: Service) -> None:
    """ReadOnlyService while the service is not to write."""
    _require_writing(_moved(service))


def _require_writing(moved: Mapping[FlagName, Switch]) -> None:
    if FlagName.READ_ONLY_SERVICE in moved:
        remedy = moved[FlagName.READ_ONLY_SERVICE].back
        raise ReadOnlyService(remedy=remedy, retry_after=LOOK_AGAIN)


def _moved(service: Service) -> dict[FlagName, Switch]:
    return {each.name: each for each in read_flags(service) if each.is_moved}

"""What operators have switched off is refused here, before any view: the one place that decides."""

from __future__ import annotations

from flask import Flask, request

from tenantry.core.errors import ReadOnlyService, SignupsClosed
from tenantry.core.model import FlagName
from tenantry.flows.flags import read_flags
from tenantry.web.context import current_service

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_SIGNUPS = frozenset({"signup.create_customer"})
TRY_AGAIN = 60.0  # seconds, where nothing is written
TRY_LATER = 3600.0  # seconds, where signups are closed


def register(app: Flask) -> None:
    app.before_request(_refuse)


def moved_switches() -> list[str]:
    """The names of those that are elsewhere than usual."""
    return [each.name.value for each in read_flags(current_service()) if each.is_moved]


def are_signups_open() -> bool:
    """Whether the signup form would be taken."""
    return not {FlagName.SIGNUPS_OPEN, FlagName.READ_ONLY_SERVICE} & set(moved_switches())


def _refuse() -> None:
    """ReadOnlyService for all that writes, SignupsClosed for a signup."""
    if request.method in _READING or request.endpoint is None:
        return
    moved = moved_switches()
    if FlagName.READ_ONLY_SERVICE in moved:
        raise ReadOnlyService(retry_after=TRY_AGAIN)
    if FlagName.SIGNUPS_OPEN in moved and request.endpoint in _SIGNUPS:
        raise SignupsClosed(retry_after=TRY_LATER)

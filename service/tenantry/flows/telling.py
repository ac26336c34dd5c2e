"""Log lines that anybody can bring about by a request: told once in a while, however many come."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from tenantry.adapters.database.session import Database
from tenantry.core.backoff import has_passed
from tenantry.flows.service import Service

EVERY = timedelta(minutes=1)
_Line = tuple[str, frozenset[tuple[str, str]]]
# when each was told; of this process
_TOLD: WeakKeyDictionary[Database, dict[_Line, datetime]] = WeakKeyDictionary()


def tell_now_and_then(
    service: Service, event: str, log: Callable[..., object], **details: str
) -> None:
    """Log the event, unless it was a moment ago with the same details: nothing that whoever asks
    could choose may be in them.
    """
    line = (event, frozenset(details.items()))
    told = _TOLD.setdefault(service.database, {})
    now = service.now()
    if has_passed(EVERY, told.get(line), now):
        told[line] = now
        log(event, **details)

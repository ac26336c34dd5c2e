"""Log lines that anybody can bring about by a request: told once in a while, however many come."""

from __future__ import annotations

from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from tenantry.adapters.database.session import Database
from tenantry.core.backoff import has_passed
from tenantry.flows.service import Service

EVERY = timedelta(minutes=1)
# when each was told; of this process
_TOLD: WeakKeyDictionary[Database, dict[str, datetime]] = WeakKeyDictionary()


def is_due(service: Service, what: str) -> bool:
    """Whether it is time to tell of it again; then it counts as told."""
    told, now = _TOLD.setdefault(service.database, {}), service.now()
    if not has_passed(EVERY, told.get(what), now):
        return False
    told[what] = now
    return True

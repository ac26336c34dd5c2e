"""What is kept for a while only, and goes: keys of repeated requests, counts of limits, sessions,
links that mails carry, and messages about payments (R54).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from tenantry.flows import limiting
from tenantry.flows.accounts import links, logins
from tenantry.flows.service import Service
from tenantry.flows.signups import repeats
from tenantry.flows.subscriptions import fading

_ALL = (repeats.forget, limiting.forget, logins.forget, links.forget, fading.empty_old)
_BITE = 500  # rows in one transaction: nobody waits for it long


def forget_old(service: Service, *, now: datetime) -> int:
    """Delete or empty all that is of no use any more; how many rows. Any number may do so at
    once.
    """
    return sum(_forget_all(service, forget, now) for forget in _ALL)


def _forget_all(service: Service, forget: Callable[..., int], now: datetime) -> int:
    total = 0
    while True:
        with service.database.write() as session:
            forgotten = forget(session, now=now, at_most=_BITE)
        total += forgotten
        if forgotten < _BITE:
            return total

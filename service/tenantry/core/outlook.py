"""What comes of a booking if nobody does anything, in the phases that a customer is told: pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from tenantry.core.model import State
from tenantry.core.product import Product
from tenantry.core.subscription import Booking, Event, EventKind, add_up, timeline


@dataclass(frozen=True)
class Phase:
    """The instance is in `state` from `since` to `until`; exclusive, None: while nobody acts."""

    state: State
    since: datetime
    until: datetime | None = None


def outlook(booking: Booking, product: Product, now: datetime) -> tuple[Phase, ...]:
    """The phase that runs at `now`, and those that follow it."""
    phases: list[Phase] = []
    for moment in timeline(booking, product):
        if phases and phases[-1].state == moment.state:
            continue
        if phases:
            phases[-1] = replace(phases[-1], until=moment.at)
        phases.append(Phase(moment.state, moment.at))
    return tuple(phase for phase in phases if phase.until is None or phase.until > now)


def if_cancelled(booking: Booking, product: Product, now: datetime) -> tuple[Phase, ...]:
    """The same, were it cancelled at `now`."""
    cancelled = add_up(booking, [Event("", EventKind.CANCELLED, now)])
    return outlook(cancelled, product, now)

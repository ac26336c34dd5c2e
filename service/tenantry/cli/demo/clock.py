"""The demo's clock: days pass in seconds, and real ones wherever something is on its way, so that
nothing technical is late because of it. Time jumps while nobody writes: what begins and ends in one
transaction takes none of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, or_, select

from tenantry.adapters.clock import ShiftedClock
from tenantry.adapters.database.tables import Outbox, Subscription, Tenant, Watch
from tenantry.cli.demo.stack import Stack
from tenantry.core.errors import TenantryError
from tenantry.core.model import SETTLED
from tenantry.flows import outbox
from tenantry.flows.rows import IS_DUE
from tenantry.flows.service import Service
from tenantry.flows.watching.watched import read_moving

LOOK_EVERY = 0.05  # seconds
FASTEST = 5.0  # days a second
LONGEST_STEP = timedelta(hours=6)  # so that each thing comes close to its time
JUMP_AFTER = 1.0  # seconds at most: a request is seldom in the middle of a few large steps
LONGEST_WAIT = 60.0  # seconds for what is due


class Flight:
    """Lets time fly, `speed` days a second; one process of a demo does. `check` raises where going
    on is pointless.
    """

    def __init__(
        self, stack: Stack, service: Service, *, speed: float, check: Callable[[], None]
    ) -> None:
        self.service = service
        self._clock = ShiftedClock(stack.clock)
        self._speed = timedelta(days=speed)
        self._quiet_since = time.monotonic()
        self._check = check

    def now(self) -> datetime:
        """The time of the demo."""
        return self._clock()

    def until(
        self, has_come: Callable[[], bool], what: str, *, due_at: datetime | None = None
    ) -> None:
        """Fly until this has come, which is due then, or now, and nothing is on its way;
        TenantryError where it does not.
        """
        within = LONGEST_WAIT + (self._seconds_to(due_at) if due_at else 0)
        give_up = time.monotonic() + within
        while not self.fly(has_come):
            if time.monotonic() > give_up:
                raise TenantryError(f"{what} did not come within {within:.0f} s")

    def fly(self, has_come: Callable[[], bool] = lambda: False) -> bool:
        """Wait a moment; whether it has come, and nothing is on its way. Where it has not and
        nothing is, hours have passed.
        """
        self._check()
        time.sleep(LOOK_EVERY)
        if not is_quiet(self.service):
            self._quiet_since = time.monotonic()
            return False
        if has_come():
            return True
        self._jump()
        return False

    def _jump(self) -> None:
        """Be as much later as it has been quiet for, once that is long enough."""
        now = time.monotonic()
        passed = self._speed * (now - self._quiet_since)
        if passed < min(LONGEST_STEP / 2, self._speed * JUMP_AFTER):
            return
        with self.service.database.write() as session:
            session.connection()  # from here on, nobody else writes
            if is_quiet(self.service):
                self._clock.advance(min(passed, LONGEST_STEP))
        self._quiet_since = now

    def _seconds_to(self, due_at: datetime) -> float:
        """That a flight there takes, and as many again, since a busy machine is slower."""
        return 2 * max(0.0, (due_at - self.now()) / self._speed)


def is_quiet(service: Service) -> bool:
    """Whether no subscription, no mail and no tenant is behind the present time, and all can be
    seen.
    """
    if any(read_moving(service, cell) for cell in service.cells.values()):
        return False
    with service.database.read() as session:
        return not any(
            session.scalar(select(waiting.exists())) for waiting in _waiting(service.now())
        )


def _waiting(now: datetime) -> tuple[Select[Any], ...]:
    """What is not done yet, as queries that find nothing once it is."""
    return (
        select(Subscription.customer_id).where(Subscription.look_at <= now),
        select(Outbox.id).where(*outbox.IS_WAITING),
        select(Tenant.customer_id).where(
            or_(
                IS_DUE,
                Tenant.status.not_in(SETTLED),
                Tenant.unsettled_since.is_not(None),
                Tenant.unknown_since.is_not(None),
            )
        ),
        select(Watch.cell).where(Watch.failing_since.is_not(None)),
    )

"""The worker's loops, each a thread: lifecycle, mailer and housekeeper; and for each cell a
publisher, a reviewer, a follower and a watcher.

A loop does one pass after another. A pass that fails is logged and tried again when its error says
so, else after a pause that doubles up to a minute. Each pass starts from the database, so nothing
is carried over.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from tenantry.core.backoff import Backoff
from tenantry.core.errors import SwitchedOff, TenantryError
from tenantry.core.frames import frames
from tenantry.flows import flags
from tenantry.flows.housekeeping import forget_old
from tenantry.flows.mailing.sending import send_due
from tenantry.flows.publishing.publish import publish_due
from tenantry.flows.publishing.shards import Seen, follow_main
from tenantry.flows.reviewing.review import Reviewer
from tenantry.flows.service import Cell, Service
from tenantry.flows.subscriptions.following import follow_due
from tenantry.flows.watching.cleanup import suspend_failed
from tenantry.flows.watching.watch import Watcher
from tenantry.settings import Settings

log = structlog.get_logger()
HOUSEKEEPING_EVERY = 60.0  # seconds
LOOKS_EVERY = 0.25  # seconds between looks for what Argo CD's stream brought
REVIEWS_EVERY = 0.25  # seconds between looks into the database for what waits for a review
OF_LOOP = Backoff(first=timedelta(seconds=1), longest=timedelta(minutes=1))


class Worker:
    """All loops of one process. `stop` lets each finish its pass."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self._stopping = threading.Event()
        self._loops = [
            Loop("mailer", _mail(service, settings), self._stopping),
            Loop("lifecycle", _follow_subscriptions(service, settings), self._stopping),
            Loop("housekeeper", _keep_house(service), self._stopping),
        ]
        self._watchers = [Watcher(service, cell) for cell in service.cells.values()]
        for watcher in self._watchers:
            name, publish = watcher.cell.name, _publish(service, watcher.cell, settings)
            self._loops += [
                Loop(f"publisher-{name}", publish, self._stopping),
                Loop(f"reviewer-{name}", _review(service, watcher.cell, settings), self._stopping),
                Loop(f"follower-{name}", _follow(service, watcher.cell, settings), self._stopping),
                Loop(f"watcher-{name}", _watch(watcher), self._stopping),
            ]

    def start(self) -> None:
        """Start the loops; returns at once."""
        for loop in self._loops:
            loop.start()

    def stop(self) -> None:
        """Ask the loops to end and wait until they have."""
        self._stopping.set()
        for loop in self._loops:
            loop.join()
        for watcher in self._watchers:
            watcher.close()


class Loop(threading.Thread):
    """Calls `one_pass` until stopped; it returns how long to wait before the next, in seconds."""

    def __init__(self, name: str, one_pass: Callable[[], float], stopping: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self._one_pass = one_pass
        self._stopping = stopping
        self._failures = 0

    def run(self) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(self._next_pause())

    def _next_pause(self) -> float:
        try:
            pause = self._one_pass()
        except SwitchedOff as held:  # no failure, and not to be told each second
            return held.retry_after or flags.LOOK_AGAIN
        except TenantryError as error:
            log.warning("loop.failed", loop=self.name, code=error.code, detail=str(error))
            asked_for = error.retry_after
        except Exception as error:  # noqa: BLE001 - logged, without the values it may quote
            log.error(
                "loop.crashed", loop=self.name, error=type(error).__name__, frames=frames(error)
            )
            asked_for = None
        else:
            self._failures = 0
            return pause
        self._failures += 1
        if asked_for is not None:
            return asked_for
        return OF_LOOP.wait(self._failures, random.random()).total_seconds()  # noqa: S311


def _publish(service: Service, cell: Cell, settings: Settings) -> Callable[[], float]:
    def one_pass() -> float:
        began = time.monotonic()
        published = publish_due(service, cell)
        if not published.tenants:
            return settings.publish_poll
        return max(0.0, began + settings.publish_pause - time.monotonic())

    return one_pass


def _follow(service: Service, cell: Cell, settings: Settings) -> Callable[[], float]:
    seen: Seen | None = None

    def one_pass() -> float:
        nonlocal seen
        seen = follow_main(service, cell, seen)
        return settings.shards_poll

    return one_pass


def _review(service: Service, cell: Cell, settings: Settings) -> Callable[[], float]:
    reviewer = Reviewer(service, cell, timedelta(seconds=settings.review_poll))

    def one_pass() -> float:
        reviewer.look()
        return REVIEWS_EVERY

    return one_pass


def _watch(watcher: Watcher) -> Callable[[], float]:
    def one_pass() -> float:
        watcher.tick(now=watcher.service.now())
        return LOOKS_EVERY

    return one_pass


def _mail(service: Service, settings: Settings) -> Callable[[], float]:
    def one_pass() -> float:
        flags.require_writing(service)
        return 0.0 if send_due(service) else settings.mail_poll  # there may be more

    return one_pass


def _follow_subscriptions(service: Service, settings: Settings) -> Callable[[], float]:
    def one_pass() -> float:
        flags.require_writing(service)
        follow_due(service, now=service.now())
        return settings.lifecycle_poll

    return one_pass


def _keep_house(service: Service) -> Callable[[], float]:
    def one_pass() -> float:
        flags.require_writing(service)
        forget_old(service, now=service.now())
        suspend_failed(service, now=service.now())
        return HOUSEKEEPING_EVERY

    return one_pass

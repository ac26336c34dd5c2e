"""Runs things later, on a fixed number of threads, in order of their time."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger()


class Scheduler:
    """`after` may be called by any thread, before `start` too; `stop` waits for the threads."""

    def __init__(self, name: str, *, threads: int) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._counter = itertools.count()
        self._wake = threading.Condition()
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._work, name=f"devcluster-{name}-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; what is under way is finished, what waits is dropped."""
        with self._wake:
            self._stopped = True
            self._wake.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def after(self, seconds: float, task: Callable[[], None]) -> None:
        """Run the task in `seconds` from now."""
        with self._wake:
            due = time.monotonic() + seconds
            heapq.heappush(self._due, (due, next(self._counter), task))
            self._wake.notify()

    def _work(self) -> None:
        while (task := self._next()) is not None:
            try:
                task()
            except Exception:  # a bug in one task must not end the others
                log.exception("devcluster.task_failed")

    def _next(self) -> Callable[[], None] | None:
        with self._wake:
            while not self._stopped:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._wake.wait(wait)
        return None

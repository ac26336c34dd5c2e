"""Argo CD's stream: for speed. It loses events, so it is never the truth: the list is."""

from __future__ import annotations

import random
import threading
from datetime import timedelta

import structlog

from tenantry.adapters.argocd import ArgoCD, Gone, ListedApplication
from tenantry.core.backoff import Backoff
from tenantry.core.errors import TenantryError
from tenantry.core.frames import frames

log = structlog.get_logger()
RECONNECT = Backoff(first=timedelta(seconds=1), longest=timedelta(seconds=60))

Lines = dict[str, ListedApplication | None]  # None: it is gone


class Ears:
    """Listens to one cell's stream in a thread of its own until closed; reconnects by itself."""

    def __init__(self, argocd: ArgoCD) -> None:
        self._argocd = argocd
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._lines: Lines = {}
        self._hears = False
        threading.Thread(target=self._listen, daemon=True, name="ears").start()

    @property
    def hears(self) -> bool:
        """Whether the stream is open and not silent."""
        return self._hears

    def take(self) -> Lines:
        """The newest line of each Application that something came of, since the last time."""
        with self._lock:
            taken, self._lines = self._lines, {}
            return taken

    def close(self) -> None:
        """Stop listening; does not wait for the connection to end."""
        self._closing.set()

    def _listen(self) -> None:
        failures = 0
        while not self._closing.is_set():
            try:
                for line in self._argocd.stream(self._closing):
                    failures, self._hears = 0, True
                    self._note(line)
            except TenantryError as error:
                log.info("watch.deaf", code=error.code, detail=str(error))
            except Exception as error:  # noqa: BLE001 - logged, without the values it may quote
                log.error("watch.ears_crashed", error=type(error).__name__, frames=frames(error))
            self._hears, failures = False, failures + 1
            self._closing.wait(RECONNECT.wait(failures, random.random()).total_seconds())  # noqa: S311

    def _note(self, line: ListedApplication | Gone | None) -> None:
        if line is None:  # a sign of life
            return
        with self._lock:
            self._lines[line.name] = line if isinstance(line, ListedApplication) else None

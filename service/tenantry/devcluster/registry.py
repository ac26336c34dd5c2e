"""All Applications, their published documents, and those who watch them.

Documents are replaced, never changed, so readers need no lock beyond the moment of taking one.
The stream loses events on purpose, as the real one does: a snapshot is taken before subscribing,
and a subscriber who reads too slowly misses what does not fit.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenantry.devcluster.application import Application
from tenantry.devcluster.broken import Broken

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Event:
    """One message of the stream: ADDED, MODIFIED or DELETED."""

    type: str
    document: Document


class Registry:
    """Safe for any number of threads."""

    def __init__(self, broken: Broken, *, buffer: int) -> None:
        self._broken = broken
        self._events = 0  # so far
        self._buffer = buffer
        self._lock = threading.Lock()
        self._version = 0
        self._applications: dict[str, Application] = {}
        self._documents: dict[str, Document] = {}
        self._subscribers: list[queue.Queue[Event]] = []

    @property
    def version(self) -> str:
        """The list's resourceVersion."""
        return str(self._version)

    def get(self, name: str) -> Application | None:
        """The Application of that name."""
        return self._applications.get(name)

    def applications(self) -> list[Application]:
        """All, by name."""
        with self._lock:
            return [self._applications[name] for name in sorted(self._applications)]

    def document(self, name: str) -> Document | None:
        """The published document of one."""
        return self._documents.get(name)

    def documents(self) -> list[Document]:
        """The published documents, by name."""
        with self._lock:
            return [self._documents[name] for name in sorted(self._documents)]

    def next_version(self) -> int:
        """A resourceVersion that nothing had before."""
        with self._lock:
            self._version += 1
            return self._version

    def add(self, application: Application) -> None:
        """Let it exist."""
        with self._lock:
            self._applications[application.name] = application
        self._write(application, "ADDED")

    def publish(self, application: Application) -> None:
        """Make its state as it is now the one that readers see."""
        if not application.gone:
            self._write(application, "MODIFIED")

    def remove(self, application: Application) -> None:
        """Let it be gone."""
        application.gone = True
        with self._lock:
            self._applications.pop(application.name, None)
            document = self._documents.pop(application.name, None)
        if document is not None:
            self._send(Event("DELETED", document))

    def subscribe(self) -> queue.Queue[Event]:
        """A queue of what happens from now on."""
        events: queue.Queue[Event] = queue.Queue(self._buffer)
        with self._lock:
            self._subscribers.append(events)
        return events

    def unsubscribe(self, events: queue.Queue[Event]) -> None:
        """Want no more."""
        with self._lock:
            self._subscribers.remove(events)

    def _write(self, application: Application, kind: str) -> None:
        application.resource_version = self.next_version()
        application.generation += 1
        document = application.document()
        with self._lock:
            self._documents[application.name] = document
        self._send(Event(kind, document))

    def _send(self, event: Event) -> None:
        with self._lock:
            self._events += 1
            if self._broken.has("stream-silent"):
                return
            if self._broken.has("stream-loses") and self._events % 2:
                return
            for events in self._subscribers:
                try:
                    events.put_nowait(event)
                except queue.Full:
                    continue  # lost, as with the real one

"""The stream of Applications: a snapshot, then what changes; silent where there is nothing to say.

As the real one: not even headers arrive before the first event, JSON lines have no keep-alive,
server-sent events get a `:` every 15 s, and events are lost (see `registry`).
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from flask import Request, Response

from tenantry.devcluster.answers import to_json
from tenantry.devcluster.broken import Broken
from tenantry.devcluster.registry import Document, Event, Registry
from tenantry.devcluster.selection import select

KEEP_ALIVE = 15.0  # seconds between comments of server-sent events
LOOK = 0.25  # seconds between looks whether the reader or the server has gone


class Streams:
    """Open streams of one server; `stop` ends them all."""

    def __init__(self, registry: Registry, broken: Broken) -> None:
        self._broken = broken
        self._registry = registry
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End every stream."""
        self._stopped.set()

    def open(self, request: Request, is_visible: Callable[[Document], bool]) -> Response:
        """The answer to a request that may see some of the Applications."""
        events = request.headers.get("Accept") == "text/event-stream"
        fields = [name for name in request.args.get("fields", "").split(",") if name]
        snapshot = "resourceVersion" not in request.args or "name" in request.args
        connection = request.environ.get("werkzeug.socket")
        body = self._body(is_visible, fields, connection, events=events, snapshot=snapshot)
        return Response(
            body,
            content_type="text/event-stream" if events else "application/json",
            headers={"X-Accel-Buffering": "no"},
            direct_passthrough=True,
        )

    def _body(
        self,
        is_visible: Callable[[Document], bool],
        fields: list[str],
        connection: Any,
        *,
        events: bool,
        snapshot: bool,
    ) -> Iterator[bytes]:
        last: dict[str, str] = {}
        known = self._registry.documents() if snapshot else []
        subscription = self._registry.subscribe()
        try:
            for document in known:
                if is_visible(document) and not self._broken.has("stream-silent"):
                    yield from _message(Event("ADDED", document), fields, last, events=events)
            for event in self._events(subscription, connection):
                if event is None:
                    if events and not self._broken.has("stream-silent"):
                        yield b":\n\n"
                elif is_visible(event.document):
                    yield from _message(event, fields, last, events=events)
        finally:
            self._registry.unsubscribe(subscription)

    def _is_over(self) -> bool:
        cut = self._broken.has("stream-cut") or self._broken.has("unreachable")
        return cut or self._stopped.is_set()

    def _events(self, subscription: queue.Queue[Event], connection: Any) -> Iterator[Event | None]:
        """What happens; None when it is time for a keep-alive. Ends with reader or server."""
        quiet_since = time.monotonic()
        while not self._is_over() and not _has_gone(connection):
            try:
                yield subscription.get(timeout=LOOK)
                quiet_since = time.monotonic()
            except queue.Empty:
                if time.monotonic() - quiet_since >= KEEP_ALIVE:
                    quiet_since = time.monotonic()
                    yield None


def _message(
    event: Event, fields: list[str], last: dict[str, str], *, events: bool
) -> Iterator[bytes]:
    """The event's bytes; none where nothing that was asked for has changed."""
    message: Any = {"result": {"type": event.type, "application": event.document}}
    if fields:
        message = select(message, fields)
    text = to_json(message)
    name = event.document["metadata"]["name"]
    if last.get(name) == text:
        return
    last[name] = text
    yield (f"data: {text}\n\n\n" if events else f"{text}\n").encode()


def _has_gone(connection: Any) -> bool:
    """Whether the reader has hung up. Only looked at: without it, silence would hide it."""
    if not isinstance(connection, socket.socket):
        return False
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True

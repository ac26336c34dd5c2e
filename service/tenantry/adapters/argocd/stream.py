"""Argo CD's stream of Applications: one connection, read line by line until it ends.

A hint and never the truth: it loses events, has no replay, and shows nothing at all to an account
without rights, so that only a list tells what is so. Server-sent events are asked for, because they
alone have keep-alives: a stream without any sign for a while is dead. With no Application to show
not even headers come before the first of those, so `stop` has to end a connection at any moment.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from requests.structures import CaseInsensitiveDict

from tenantry.adapters.argocd.answers import as_object, check
from tenantry.adapters.argocd.connection import Connection
from tenantry.adapters.argocd.listing import PATHS, ListedApplication, parse_line
from tenantry.adapters.http import LINE_ERRORS, MEBIBYTE, Answer, LineAnswer, make_line
from tenantry.core.errors import ArgoError, ArgoUnreachable
from tenantry.core.members import object_of, text_of

SILENCE = 40.0  # seconds; a keep-alive comes every 15
LINE_LIMIT = MEBIBYTE
STOP_LOOK = 0.2  # seconds between two looks at `stop`
FIELDS = ",".join(["result.type", *(f"result.application.{path}" for path in PATHS)])


@dataclass(frozen=True)
class Gone:
    """An Application that was deleted."""

    name: str


Arrival = ListedApplication | Gone | None  # None: a sign of life


def listen(
    connection: Connection,
    params: Mapping[str, str],
    stop: threading.Event,
    *,
    silence: float = SILENCE,
) -> Iterator[Arrival]:
    """What arrives until the server ends it or `stop` is set.

    ArgoUnreachable where it cannot be had, breaks off, or is silent for `silence` seconds; else
    the errors of any answer, also where one comes within the stream.
    """
    line = make_line(connection.url, connection.session, connection.timeouts.connect)
    target = f"{urlsplit(connection.url).path}/api/v1/stream/applications?{urlencode(params)}"
    headers = connection.headers("text/event-stream")
    try:
        line.connect()
        line.sock.settimeout(silence)
        with _ended_by(stop, line.sock):
            line.request("GET", target, headers=headers)
            with closing(line.getresponse()) as response:
                yield from _read(response)
    except LINE_ERRORS as error:
        if not stop.is_set():
            raise ArgoUnreachable(f"Argo CD's stream ended: {_explain(error)}.") from error
    finally:
        line.close()


@contextmanager
def _ended_by(stop: threading.Event, connected: socket.socket) -> Iterator[None]:
    """Ends whatever waits for the socket, once `stop` is set."""
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            if stop.wait(STOP_LOOK):
                with suppress(OSError):
                    connected.shutdown(socket.SHUT_RDWR)
                return

    watcher = threading.Thread(target=watch, name="argocd-stream-stop", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _explain(error: Exception) -> str:
    """Why, without what libraries quote."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "the certificate is not trusted"
    if isinstance(error, TimeoutError):
        return "no sign of life in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return f"it broke off ({type(error).__name__})"


def _read(response: LineAnswer) -> Iterator[Arrival]:
    if response.status != 200:
        headers = CaseInsensitiveDict(response.headers.items())
        check(Answer(response.status, headers, response.read(LINE_LIMIT)))
    while line := response.readline(LINE_LIMIT):
        if len(line) >= LINE_LIMIT:
            raise ArgoError(f"A line of Argo CD's stream is larger than {LINE_LIMIT} bytes.")
        if text := line.strip():
            yield _arrival(text)


def _arrival(line: bytes) -> Arrival:
    if line.startswith(b":"):
        return None
    field, _, data = line.partition(b":")
    if field != b"data":
        raise ArgoError(
            "Argo CD's stream is none.",
            remedy="is this the URL of Argo CD, and not of a page in front of it?",
        )
    message = as_object(Answer(200, {}, data))
    if error := object_of(message, "error"):
        _raise(error, data)
    return _change(object_of(message, "result"))


def _raise(error: Mapping[str, Any], data: bytes) -> None:
    status = error.get("http_code")
    check(Answer(status if isinstance(status, int) and status != 200 else 500, {}, data))


def _change(result: Mapping[str, Any]) -> Arrival:
    found = parse_line(object_of(result, "application"))
    if not found.name:
        return None
    return Gone(found.name) if text_of(result, "type") == "DELETED" else found

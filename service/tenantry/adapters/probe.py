"""Whether an instance answers at its URL: the last thing that "ready" needs (R42).

What answers may be run by a customer, so nothing it sends is trusted: one request, one deadline
over connecting, TLS and the answer's head (a slow drip cannot outlast it), a bounded head, no body,
no redirect followed. That is why this speaks HTTP over a socket of its own.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HEAD_LIMIT = 32 * 1024  # bytes of status line and headers

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r?\n")
_LOCATION = re.compile(rb"\nlocation:[ \t]*([^\r\n]*)", re.IGNORECASE)
_HEAD_ENDS = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True)
class Probed:
    """`ok`: the instance answers; `reason`: a sentence for the operator either way."""

    ok: bool
    reason: str
    status: int | None = None

    def __bool__(self) -> bool:
        return self.ok


def answers(
    url: str,
    *,
    connect_to: tuple[str, int] | None = None,
    deadline: float,
    ca: Path | None = None,
) -> Probed:
    """GET `url` once, within `deadline` seconds (after the name was resolved).

    2xx, 401, 403 and redirects within the host count as answering. `connect_to`: address to connect
    to instead of the URL's, as `curl --connect-to` does; host and certificate stay the URL's.
    `ca`: certificates to trust instead of the system's. Never raises for what a network can do.
    """
    context = _make_context(ca) if url.startswith("https:") else None
    ends = time.monotonic() + deadline
    try:
        head = _ask(url, connect_to, ends, context)
    except ssl.SSLCertVerificationError as error:
        return Probed(ok=False, reason=f"The certificate is not trusted: {error.verify_message}.")
    except TimeoutError:
        return Probed(ok=False, reason=f"There was no answer within {deadline:g} s.")
    except OSError as error:
        return Probed(ok=False, reason=f"No connection: {error.strerror or error}.")
    except UnicodeError:
        return Probed(ok=False, reason="The URL names no host.")
    return _judge(url, head)


@cache
def _make_context(ca: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)  # reads hundreds of certificates: once is enough


def _ask(
    url: str, connect_to: tuple[str, int] | None, ends: float, context: ssl.SSLContext | None
) -> bytes:
    parts = urlsplit(url)
    host = parts.hostname or ""
    address = connect_to or (host, parts.port or (443 if context else 80))
    request = (
        f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        "User-Agent: tenantry-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    ).encode("ascii")
    with _connect(address, ends) as plain:
        if context is None:
            return _exchange(plain, request, ends)
        plain.settimeout(_left(ends))
        with context.wrap_socket(plain, server_hostname=host) as wrapped:
            return _exchange(wrapped, request, ends)


def _connect(address: tuple[str, int], ends: float) -> socket.socket:
    """A connection to the first of the name's addresses that takes one, all within the deadline."""
    failure: OSError = OSError("the name has no address")
    for family, kind, protocol, _, target in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
        try:
            return _connect_one(socket.socket(family, kind, protocol), target, _left(ends))
        except OSError as error:
            failure = error
    raise failure


def _connect_one(found: socket.socket, target: Any, timeout: float) -> socket.socket:
    try:
        found.settimeout(timeout)
        found.connect(target)
    except OSError:
        found.close()
        raise
    return found


def _exchange(connection: socket.socket, request: bytes, ends: float) -> bytes:
    """The head of the answer, as far as it came before the limit or the connection's end."""
    connection.settimeout(_left(ends))
    connection.sendall(request)
    head = b""
    while len(head) < HEAD_LIMIT and not _HEAD_ENDS.search(head):
        connection.settimeout(_left(ends))
        piece = connection.recv(4096)
        if not piece:
            break
        head += piece
    return head


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _judge(url: str, received: bytes) -> Probed:
    head = _HEAD_ENDS.split(received, maxsplit=1)[0] + b"\r\n"
    found = _STATUS.match(head)
    if not found or not _HEAD_ENDS.search(received):
        return Probed(ok=False, reason="What answers does not speak HTTP.")
    status = int(found[1])
    if 300 <= status < 400:
        return _judge_redirect(url, status, head)
    ok = 200 <= status < 300 or status in (401, 403)
    return Probed(ok, f"It answers {status}.", status)


def _judge_redirect(url: str, status: int, head: bytes) -> Probed:
    found = _LOCATION.search(head)
    try:
        target = urlsplit(found[1].decode("ascii").strip() if found else "").hostname
    except ValueError:
        return Probed(ok=False, reason="It redirects to something that is no URL.", status=status)
    if target is None or target == urlsplit(url).hostname:
        return Probed(ok=True, reason=f"It answers {status}, within its host.", status=status)
    return Probed(ok=False, reason="It redirects to another host.", status=status)

"""Whether an instance answers at its URL, and what: the last thing that "ready" needs (R42).

What answers may be run by a customer, so nothing it sends is trusted: one request, one deadline
over connecting, TLS and the answer (a slow drip cannot outlast it), a bounded answer, no redirect
followed, and no address within our own network unless instances are there. That is why this speaks
HTTP over a socket of its own.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HEAD_LIMIT = 32 * 1024  # bytes of status line and headers
BODY_LIMIT = 64 * 1024  # bytes of JSON
# where clouds tell a machine its own credentials; no instance is ever there
METADATA = frozenset({IPv4Address("169.254.169.254"), IPv6Address("fd00:ec2::254")})

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r?\n")
_LOCATION = re.compile(rb"\nlocation:[ \t]*([^\r\n]*)", re.IGNORECASE)
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r?\n", re.IGNORECASE)
_HEAD_ENDS = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True)
class Probed:
    """`ok`: the instance answers; `reason`: a sentence for the operator either way."""

    ok: bool
    reason: str
    status: int | None = None

    def __bool__(self) -> bool:
        return self.ok


class _AddressRefused(OSError):
    """An address that instances may not have."""


def answers(
    url: str,
    *,
    connect_to: tuple[str, int] | None = None,
    deadline: float,
    ca: Path | None = None,
    private: bool,
) -> Probed:
    """GET `url` once, within `deadline` seconds (after the name was resolved).

    2xx, 401, 403 and redirects within the host count as answering. `connect_to`: address to connect
    to instead of the URL's, as `curl --connect-to` does; host and certificate stay the URL's.
    `ca`: certificates to trust instead of the system's. `private`: addresses that are not public
    are good, too, but never those of METADATA. Never raises for what a network can do.
    """
    line = _Line(url, connect_to, time.monotonic() + deadline, ca, private)
    try:
        head = _ask(line, HEAD_LIMIT, _has_head)
    except ssl.SSLCertVerificationError as error:
        return Probed(ok=False, reason=f"The certificate is not trusted: {error.verify_message}.")
    except TimeoutError:
        return Probed(ok=False, reason=f"There was no answer within {deadline:g} s.")
    except OSError as error:
        return Probed(ok=False, reason=f"No connection: {error.strerror or error}.")
    except UnicodeError:
        return Probed(ok=False, reason="The URL names no host.")
    return _judge(url, head)


def read_json(
    url: str,
    *,
    connect_to: tuple[str, int] | None = None,
    deadline: float,
    ca: Path | None = None,
    private: bool,
) -> object | None:
    """The JSON that `url` answers with, asked by the same rules as `answers`; None where that is
    not 200, longer than BODY_LIMIT, no JSON, or nothing at all.
    """
    line = _Line(url, connect_to, time.monotonic() + deadline, ca, private)
    try:
        head, body = _split(_ask(line, HEAD_LIMIT + BODY_LIMIT, _has_body))
    except (OSError, UnicodeError):
        return None
    found = _STATUS.match(head)
    if not found or int(found[1]) != 200 or len(body) > BODY_LIMIT:
        return None
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed


@dataclass(frozen=True)
class _Line:
    """What is asked, and by which way."""

    url: str
    connect_to: tuple[str, int] | None
    ends: float  # of the monotonic clock
    ca: Path | None
    private: bool


@cache
def _make_context(ca: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)  # reads hundreds of certificates: once is enough


def _ask(line: _Line, limit: int, is_enough: Callable[[bytes], bool]) -> bytes:
    """What is answered, as far as it came before it was enough, the limit, or the end."""
    parts, is_tls = urlsplit(line.url), line.url.startswith("https:")
    host = parts.hostname or ""
    address = line.connect_to or (host, parts.port or (443 if is_tls else 80))
    request = (  # of HTTP/1.0, whose answers come in one piece
        f"GET {parts.path or '/'} HTTP/1.0\r\nHost: {parts.netloc}\r\n"
        "User-Agent: tenantry-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    ).encode("ascii")
    with _connect(address, line) as plain:
        if not is_tls:
            return _exchange(plain, request, line.ends, limit, is_enough)
        plain.settimeout(_left(line.ends))
        with _make_context(line.ca).wrap_socket(plain, server_hostname=host) as wrapped:
            return _exchange(wrapped, request, line.ends, limit, is_enough)


def _connect(address: tuple[str, int], line: _Line) -> socket.socket:
    """A connection to the first of the name's addresses that takes one, all within the deadline."""
    failure: OSError = OSError("the name has no address")
    for family, kind, protocol, _, target in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
        try:
            _check_address(str(target[0]), line.private)
            return _connect_one(socket.socket(family, kind, protocol), target, _left(line.ends))
        except OSError as error:
            failure = error
    raise failure


def _check_address(text: str, private: bool) -> None:
    """_AddressRefused for one that no instance may have. It is the address that is connected to, so
    a name that leads elsewhere the next time gains nothing.
    """
    found = ip_address(text.partition("%")[0])
    address = getattr(found, "ipv4_mapped", None) or found
    if address in METADATA:
        raise _AddressRefused(f"{address} is no instance's address but the cloud's own")
    if not private and not address.is_global:
        raise _AddressRefused(
            f"{address} is a private address, which INSTANCE_PRIVATE of the cell does not allow"
        )


def _connect_one(found: socket.socket, target: Any, timeout: float) -> socket.socket:
    try:
        found.settimeout(timeout)
        found.connect(target)
    except OSError:
        found.close()
        raise
    return found


def _exchange(
    connection: socket.socket,
    request: bytes,
    ends: float,
    limit: int,
    is_enough: Callable[[bytes], bool],
) -> bytes:
    connection.settimeout(_left(ends))
    connection.sendall(request)
    received = b""
    while len(received) <= limit and not is_enough(received):
        connection.settimeout(_left(ends))
        piece = connection.recv(4096)
        if not piece:
            break
        received += piece
    return received


def _has_head(received: bytes) -> bool:
    return bool(_HEAD_ENDS.search(received))


def _has_body(received: bytes) -> bool:
    """Whether all of it came that the head promises; one that promises nothing ends the line."""
    head, body = _split(received)
    promised = _LENGTH.search(head)
    return promised is not None and len(body) >= int(promised[1])


def _split(received: bytes) -> tuple[bytes, bytes]:
    """Head, with its last line's end, and body; both empty while the head is not complete."""
    found = _HEAD_ENDS.search(received)
    return (received[: found.start()] + b"\r\n", received[found.end() :]) if found else (b"", b"")


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _judge(url: str, received: bytes) -> Probed:
    head, _ = _split(received)
    found = _STATUS.match(head)
    if not found:
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

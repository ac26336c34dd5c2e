"""A small HTTP server for tests: a FAKE neighbor that answers what it is told to, or misbehaves.

What it says in Argo CD's name are recordings of a real one (tests/data/argocd).
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

RECORDINGS = Path(__file__).parent / "data" / "argocd"
NOT_RECORDED = 599


@dataclass
class Request:
    """What the fake was asked."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


@dataclass
class Fake:
    """`say` answers a request through its handler; `over` is set when the test is."""

    port: int
    say: Callable[[Handler], None]
    seen: list[Request] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Handler(BaseHTTPRequestHandler):
    """Hands every request to the fake."""

    protocol_version = "HTTP/1.1"
    server_version = "tenantry-test-fake"
    fake: Fake
    body: bytes  # of the request that is answered

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        body = self.body = self._read_body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.fake.seen.append(
            Request(self.command, parts.path, parse_qs(parts.query), headers, body)
        )
        self.fake.say(self)

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _handle  # noqa: N815 (the library calls them)

    def answer(self, status: int, body: bytes, content_type: str = "text/html") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_raw(self, data: bytes) -> None:
        """Exactly these bytes, then the end of the connection."""
        self.wfile.write(data)
        self.close_connection = True

    def hang(self) -> None:
        """Say nothing until the test is over."""
        self.fake.over.wait()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Quiet."""


class Server(ThreadingHTTPServer):
    """Quiet about clients that hang up, which is what is tested."""

    daemon_threads = False

    def handle_error(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def serve(say: Callable[[Handler], None], *, tls: ssl.SSLContext | None = None) -> Iterator[Fake]:
    """A fake on a free port of this machine, stopped at the end."""
    kind = type("BoundHandler", (Handler,), {})
    server = Server(("127.0.0.1", 0), kind)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    fake = Fake(server.server_address[1], say)
    kind.fake = fake  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield fake
    finally:
        fake.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def recording(name: str) -> dict[str, Any]:
    """One recorded request with its answer."""
    found: dict[str, Any] = json.loads((RECORDINGS / f"{name}.json").read_text("utf-8"))
    return found


def replay(*names: str) -> Callable[[Handler], None]:
    """Answers like these recordings, each to the method and path it was recorded for."""
    answers = {}
    for name in names:
        found = recording(name)
        method, _, target = found["request"].partition(" ")
        answers[method, "/" + target.partition("/")[2].partition("?")[0]] = found

    def say(handler: Handler) -> None:
        found = answers.get((handler.command, handler.path.partition("?")[0]))
        if found is None:
            handler.answer(NOT_RECORDED, b"nothing was recorded for this")
            return
        kind, body = found["content_type"] or "", found["body"]
        data = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
        handler.answer(found["status"], data.encode("utf-8"), kind)

    return say

"""Stand-ins for the Services behind the tenant's Nginx: they answer anything, and remember it."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Request:
    method: str
    path: str  # with its query string, as it came
    headers: Message

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Backend:
    """`status`: what it answers with. While `gate` is closed it does not answer."""

    name: str
    usual: int = 200
    status: int = 200
    requests: list[Request] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def reset(self) -> None:
        self.status = self.usual
        self.requests.clear()
        self.arrived.clear()
        self.gate.set()

    def lines(self) -> list[str]:
        return [request.line for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    backend: Backend

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.backend.requests.append(Request(self.command, self.path, self.headers))
        self.backend.arrived.set()
        self.backend.gate.wait(30)
        if self.headers.get("Upgrade") == "websocket":
            return self._echo()
        body = b"" if self.command == "HEAD" else self.backend.name.encode()
        self.send_response(self.backend.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    def _echo(self) -> None:
        """After the handshake, no WebSocket: whatever comes goes back, until the client goes."""
        self.send_response(101)
        self.send_header("Connection", "upgrade")
        self.send_header("Upgrade", "websocket")
        self.end_headers()
        while data := self.connection.recv(1024):
            self.connection.sendall(data)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # clients may hang up
            super().handle_error(request, client_address)


@contextmanager
def serving(backend: Backend) -> Iterator[Backend]:
    handler = type("Handler", (_Handler,), {"backend": backend})
    server = _Server(("127.0.0.1", 0), handler)
    backend.port = server.server_port
    backend.reset()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield backend
    finally:
        backend.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def refusing() -> Iterator[int]:
    """A port that is taken, but where connections are refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])

"""The HTTP server: gunicorn, configured by us, and kept from clients that dawdle."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from functools import partial
from typing import Any, cast

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers import gthread

from tenantry import wiring
from tenantry.adapters.passwords import share_cores
from tenantry.core.errors import SettingsError
from tenantry.settings import Settings
from tenantry.web.app import create_app
from tenantry.web.refusals import refuse

# seconds for a whole request to arrive, head and body, and for a whole answer to be taken; the
# latter of each while every thread is taken
READ_WITHIN, READ_WITHIN_FULL = 10.0, 2.0
ANSWER_WITHIN, ANSWER_WITHIN_FULL = 30.0, 5.0
# bytes that are read after an answer, at once and in all: a client that is still sending gets its
# answer, and one that never ends takes no time from others
_DRAINED_AT_ONCE, _DRAINED = 65_536, 1_048_576


class PlainLogger(Logger):
    """Hands gunicorn's lines to our own handler, so that all have one form."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class DeadlineWorker(gthread.ThreadWorker):
    """gunicorn's threads, kept from clients that dawdle: a thread waits for no first byte, and not
    for long for a whole request, or until a whole answer is taken. Otherwise as many such clients
    as there are threads would stop the service. And a process whose threads are all at work leaves
    new connections to the others: whichever wakes first would else take more than it can do, while
    others are idle.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._reading: dict[socket.socket, float] = {}  # since when a request is worked on
        self._answering: dict[socket.socket, float] = {}  # and since when its answer is sent
        self._at_work = 0  # connections that were given to threads

    def set_accept_enabled(self, enabled: bool | None) -> None:
        super().set_accept_enabled(bool(enabled) and self._at_work < self.cfg.threads)

    def enqueue_req(self, conn: gthread.TConn) -> None:
        self._at_work += 1
        super().enqueue_req(conn)
        self.set_accept_enabled(self.alive)

    def finish_request(self, conn: gthread.TConn, fs: Any) -> None:
        self._at_work -= 1
        if fs.cancelled() or fs.exception() or fs.result():
            super().finish_request(conn, fs)
        else:
            self._part(conn)

    def _part(self, conn: gthread.TConn) -> None:
        """Close a connection once the client has closed its end, so that the answer arrives, or
        soon. gunicorn waits for that in the one thread that accepts connections.
        """
        conn.timeout = time.monotonic() + self.cfg.keepalive
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            drain = partial(self._drain, conn, _DRAINED)
            self.poller.register(conn.sock, selectors.EVENT_READ, drain)
        except (OSError, ValueError):  # it is closed
            self._close(conn)
        else:
            self.pending_conns.append(conn)  # which are closed when their time is up

    def _drain(self, conn: gthread.TConn, left: int, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            left -= len(received := connection.recv(_DRAINED_AT_ONCE))
            if received and left > 0:
                drain = partial(self._drain, conn, left)
                self.poller.modify(connection, selectors.EVENT_READ, drain)
                return
        self.poller.unregister(connection)
        self.pending_conns.remove(conn)
        self._close(conn)

    def _close(self, conn: gthread.TConn) -> None:
        self.nr_conns -= 1
        conn.close()

    def handle(self, conn: gthread.TConn) -> Any:
        if not conn.initialized and not conn.wait_for_data(0):
            return gthread._DEFER  # type: ignore[attr-defined]  # noqa: SLF001 - no thread waits
        self._reading[conn.sock] = time.monotonic()
        try:
            return super().handle(conn)
        finally:
            del self._reading[conn.sock]
            self._answering.pop(conn.sock, None)

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.wsgi = self._noting_answers(_honest_about_closing(self.wsgi))

    def _noting_answers(self, application: Any) -> Any:
        """The application, of which we note when it begins to answer."""

        def answer(environ: Any, start_response: Any) -> Any:
            parts = application(environ, start_response)
            self._answering[environ["gunicorn.socket"]] = time.monotonic()
            return parts

        return answer

    def handle_error(
        self,
        req: Any,  # noqa: ARG002
        client: socket.socket,
        addr: Any,  # noqa: ARG002
        exc: BaseException,
    ) -> None:
        """Called where a request could not be read."""
        refuse(client, exc, public_url=cast(Server, self.app).configured.public_url)

    def notify(self) -> None:
        """Called about once a second, by the thread that waits for connections."""
        super().notify()
        is_full = len(self._reading) >= self.cfg.threads
        read_within = READ_WITHIN_FULL if is_full else READ_WITHIN
        answer_within = ANSWER_WITHIN_FULL if is_full else ANSWER_WITHIN
        _end(self._reading, read_within, socket.SHUT_RD)  # what reads; an answer still gets out
        _end(self._answering, answer_within, socket.SHUT_RDWR)


def _end(begun: dict[socket.socket, float], within: float, how: int) -> None:
    """Shut down the connections that began longer ago than so many seconds."""
    late = time.monotonic() - within
    for connection in [each for each, at in list(begun.items()) if at < late]:
        with contextlib.suppress(OSError):
            connection.shutdown(how)


def _honest_about_closing(application: Any) -> Any:
    """The application, whose `Connection: close` gunicorn would drop and promise to keep it."""

    def answer(environ: Any, start_response: Any) -> Any:
        def start(status: str, headers: Any, *more: Any) -> Any:
            if ("Connection", "close") in headers:
                start_response.__self__.force_close()
            return start_response(status, headers, *more)

        return application(environ, start)

    return answer


def require_free(host: str, port: int) -> None:
    """SettingsError where nothing can listen at that address: at once, and in one line."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise SettingsError(
            f"cannot listen at {host}:{port}: {error.strerror}",
            remedy="set TENANTRY_HOST and TENANTRY_PORT, or end what listens there",
        ) from None


class Server(BaseApplication):
    """gunicorn, configured by us; each of its processes builds the service for itself."""

    def __init__(self, configured: Settings) -> None:
        self.configured = configured
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": f"{self.configured.host}:{self.configured.port}",
            "workers": self.configured.web_processes,
            "threads": self.configured.web_threads,
            "worker_class": DeadlineWorker,
            "timeout": 30,
            "graceful_timeout": 10,
            "limit_request_line": 4094,
            "limit_request_fields": 64,
            "limit_request_field_size": 8190,
            "accesslog": None,
            "loglevel": "warning",
            "logger_class": PlainLogger,
            "control_socket_disable": True,
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:  # type: ignore[override] # WSGI, whatever Flask's types say
        share_cores(self.configured.web_processes)
        return create_app(wiring.build(self.configured))

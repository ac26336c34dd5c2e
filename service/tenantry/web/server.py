"""The HTTP server: gunicorn, configured by us, and kept from clients that dawdle."""

from __future__ import annotations

import contextlib
import socket
import time
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

# seconds for a whole request to arrive, head and body; the latter while every thread is taken
READ_WITHIN = 10.0
READ_WITHIN_FULL = 2.0


class PlainLogger(Logger):
    """Hands gunicorn's lines to our own handler, so that all have one form."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class DeadlineWorker(gthread.ThreadWorker):
    """gunicorn's threads, kept from clients that dawdle: a thread waits for no first byte, and for
    a whole request not for long. Otherwise as many such clients as there are threads would
    stop the service. And a process whose threads are all at work leaves new connections to the
    others: whichever wakes first would else take more than it can do, while others are idle.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._begun: dict[gthread.TConn, float] = {}
        self._at_work = 0  # connections that were given to threads

    def set_accept_enabled(self, enabled: bool | None) -> None:
        super().set_accept_enabled(bool(enabled) and self._at_work < self.cfg.threads)

    def enqueue_req(self, conn: gthread.TConn) -> None:
        self._at_work += 1
        super().enqueue_req(conn)
        self.set_accept_enabled(self.alive)

    def finish_request(self, conn: gthread.TConn, fs: Any) -> None:
        self._at_work -= 1
        super().finish_request(conn, fs)

    def handle(self, conn: gthread.TConn) -> Any:
        if not conn.initialized and not conn.wait_for_data(0):
            return gthread._DEFER  # type: ignore[attr-defined]  # noqa: SLF001 - no thread waits
        self._begun[conn] = time.monotonic()
        try:
            return super().handle(conn)
        finally:
            del self._begun[conn]

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.wsgi = _honest_about_closing(self.wsgi)

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
        is_full = len(self._begun) >= self.cfg.threads
        late = time.monotonic() - (READ_WITHIN_FULL if is_full else READ_WITHIN)
        for conn in [conn for conn, begun in list(self._begun.items()) if begun < late]:
            with contextlib.suppress(OSError):
                conn.sock.shutdown(socket.SHUT_RD)  # ends what reads; an answer still gets out


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

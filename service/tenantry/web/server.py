"""The HTTP server: gunicorn, configured by us, and kept from clients that dawdle."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers import gthread

from tenantry import wiring
from tenantry.settings import Settings
from tenantry.web.app import create_app

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
    stop the service.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._begun: dict[gthread.TConn, float] = {}

    def handle(self, conn: gthread.TConn) -> Any:
        if not conn.initialized and not conn.wait_for_data(0):
            return gthread._DEFER  # type: ignore[attr-defined]  # noqa: SLF001 - no thread waits
        self._begun[conn] = time.monotonic()
        try:
            return super().handle(conn)
        finally:
            del self._begun[conn]

    def notify(self) -> None:
        """Called about once a second, by the thread that waits for connections."""
        super().notify()
        is_full = len(self._begun) >= self.cfg.threads
        late = time.monotonic() - (READ_WITHIN_FULL if is_full else READ_WITHIN)
        for conn in [conn for conn, begun in list(self._begun.items()) if begun < late]:
            with contextlib.suppress(OSError):
                conn.sock.shutdown(socket.SHUT_RD)  # ends what reads; an answer still gets out


class Server(BaseApplication):
    """gunicorn, configured by us; each of its processes builds the service for itself."""

    def __init__(self, configured: Settings) -> None:
        self._configured = configured
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": f"{self._configured.host}:{self._configured.port}",
            "workers": self._configured.web_processes,
            "threads": self._configured.web_threads,
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
        return create_app(wiring.build(self._configured))

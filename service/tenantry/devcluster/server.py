"""The stand-in as one server: Argo CD's API and page on its own host, instances on theirs."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog
from flask import Flask, Request, Response
from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server

from tenantry.adapters.kustomize import Kustomize
from tenantry.core.errors import KeysMissing
from tenantry.devcluster import pages
from tenantry.devcluster.access import Accounts
from tenantry.devcluster.answers import UNIMPLEMENTED, ApiError, error_answer, text_answer
from tenantry.devcluster.api import Api
from tenantry.devcluster.breaks import Breaks
from tenantry.devcluster.breakscontrol import BreaksControl
from tenantry.devcluster.broken import Broken
from tenantry.devcluster.cluster import Cluster
from tenantry.devcluster.controller import Controller
from tenantry.devcluster.gateway import answer_instance, host_of
from tenantry.devcluster.gitview import GitView, local_path
from tenantry.devcluster.manifests import Manifests
from tenantry.devcluster.paymentpage import PaymentPage
from tenantry.devcluster.registry import Registry
from tenantry.devcluster.reviewpage import ReviewPage
from tenantry.devcluster.reviews import Reviews
from tenantry.devcluster.sealing import Opener
from tenantry.devcluster.sets import SetController
from tenantry.devcluster.settings import DevClusterSettings
from tenantry.devcluster.stream import Streams

log = structlog.get_logger()

MARK = {"X-Tenantry-Stand-In": "development"}  # on every answer
MAX_BODY = 1024 * 1024  # bytes
PAGE_REFRESH = 3  # seconds between reloads of the page

StartResponse = Callable[..., Any]


class DevCluster:
    """Argo CD and a cluster, for development only.

    `start` listens and works in background threads, `stop` ends them; also a context manager.
    After `start`, `port` is the port that it listens on and `url` where its API and page are.
    `breaks` has things go wrong.
    Everything is in memory: a restart begins anew from Git.
    """

    def __init__(self, settings: DevClusterSettings) -> None:
        self.settings = settings
        self.port = settings.port
        broken = Broken()
        self.accounts = Accounts(settings.tokens, settings.project, broken)
        self.cluster = Cluster(broken, time_scale=settings.time_scale)
        self.registry = Registry(broken, buffer=settings.stream_buffer)
        self._scratch = tempfile.TemporaryDirectory(prefix="tenantry-devcluster-")
        scratch = Path(self._scratch.name)
        view = GitView(settings.repository, scratch=scratch, deadline=settings.program_deadline)
        kustomize = Kustomize(settings.kustomize, settings.program_deadline)
        self.manifests = Manifests(view, kustomize, scratch=scratch)
        self.controller = Controller(
            self.registry,
            self.cluster,
            self.manifests,
            Opener(settings.kubeseal, settings.sealing_key, deadline=settings.program_deadline),
            step=settings.step_seconds,
            scale=settings.time_scale,
            builders=settings.builders,
        )
        self.sets = SetController(view, self.controller, broken, poll=settings.poll_seconds)
        self.controller.on_removed = self.sets.application_removed
        self._streams = Streams(self.registry, broken)
        self.breaks = Breaks(broken, self.controller, self.sets, step=settings.step_seconds)
        self._app = self._make_app()
        self._server: Any = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where API and page are, without trailing slash."""
        return f"http://{self.settings.own_hosts[0]}:{self.port}"

    def start(self) -> Self:
        """Listen and begin to work; returns once requests are answered.

        Raises KeysMissing where the sealing key is not there, OSError where the port is taken.
        """
        if not self.settings.sealing_key.is_file():
            raise KeysMissing(
                f"no sealing key at {self.settings.sealing_key}",
                remedy="start the demo once, which makes one",
            )
        self._server = make_server(
            self.settings.host,
            self.settings.port,
            self._dispatch,
            threaded=True,
            request_handler=_QuietHandler,
        )
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="devcluster-http", daemon=True
        )
        self._thread.start()
        self.controller.start()
        self.sets.start()
        self.breaks.start_work()
        log.info("devcluster.started", port=self.port)
        return self

    def stop(self) -> None:
        """End the threads and give the port back; may be called twice."""
        if self._server is None:
            return
        self.breaks.stop_work()
        self._streams.stop()
        self.sets.stop()
        self.controller.stop()
        self._server.shutdown()
        self._server.server_close()
        if self._thread is not None:
            self._thread.join()
        self._server = None
        self._scratch.cleanup()
        log.info("devcluster.stopped", port=self.port)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _make_app(self) -> Flask:
        app = Flask(__name__, static_folder=None)
        app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
        app.url_map.strict_slashes = False
        api = Api(
            accounts=self.accounts,
            registry=self.registry,
            controller=self.controller,
            sets=self.sets,
            cluster=self.cluster,
            streams=self._streams,
            webhook_secret=self.settings.webhook_secret,
            broken=self.cluster.broken,
        )
        app.register_blueprint(api.blueprint())
        app.register_blueprint(BreaksControl(self.breaks).blueprint())
        app.register_blueprint(ReviewPage(self._reviews(), PAGE_REFRESH).blueprint())
        if (payments := self.settings.payments) is not None:
            page = PaymentPage(payments.product, payments.provider)
            app.register_blueprint(page.blueprint())
        app.add_url_rule("/", "page", self._page)
        app.register_error_handler(HTTPException, _http_error)
        return app

    def _reviews(self) -> Reviews | None:
        path = local_path(self.settings.repository)
        return Reviews(path, deadline=self.settings.program_deadline) if path else None

    def _page(self) -> Response:
        return pages.applications_page(
            self.registry, self.sets, self.cluster, self.port, PAGE_REFRESH
        )

    def _dispatch(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        def marked(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, *MARK.items()], *rest)

        host = host_of(environ.get("HTTP_HOST", ""))
        if host in self.settings.own_hosts:
            return self._app(environ, marked)
        answer = answer_instance(self.cluster, Request(environ), self.settings.audience)
        if answer is None:
            answer = pages.error_page(
                404, "No such instance", "No Ingress in this stand-in's cluster names this host."
            )
        return answer(environ, marked)


class _QuietHandler(WSGIRequestHandler):
    """Requests are no events worth a log line here; HTTP/1.1, so that streams are chunked."""

    protocol_version = "HTTP/1.1"

    def log_request(self, *_: object) -> None:
        return


def _http_error(error: HTTPException) -> Any:
    if error.code == 404:
        return text_answer("Not Found\n", 404)
    if error.code == 405:
        return error_answer(ApiError(UNIMPLEMENTED, "Method Not Allowed"))
    return text_answer(f"{error.name}\n", error.code or 500)

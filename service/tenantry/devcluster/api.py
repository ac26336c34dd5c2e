"""The part of Argo CD's API that the service uses, true to the recordings.

Odd on purpose: 403 for what does not exist unless `project=` is given, 200 with `"items": null`
without rights, 415 before anything else, plain text for unknown paths.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request

from tenantry.devcluster import selection
from tenantry.devcluster.access import Account, Accounts, Unauthenticated
from tenantry.devcluster.answers import (
    DENIED,
    INVALID_ARGUMENT,
    NOT_FOUND,
    PRECONDITION,
    UNAUTHENTICATED,
    UNIMPLEMENTED,
    ApiError,
    error_answer,
    json_answer,
    stream_error_answer,
    text_answer,
)
from tenantry.devcluster.application import Application
from tenantry.devcluster.broken import Broken
from tenantry.devcluster.cluster import Cluster
from tenantry.devcluster.controller import Busy, Controller
from tenantry.devcluster.events import application_events, resource_events
from tenantry.devcluster.filters import asked_for
from tenantry.devcluster.registry import Document, Registry
from tenantry.devcluster.sets import SetController
from tenantry.devcluster.setview import set_document
from tenantry.devcluster.stream import Streams
from tenantry.devcluster.tree import resource_tree
from tenantry.devcluster.webhook import answer_webhook

VERSION = "v3.5.1"
SLOW_LIST = 30.0  # seconds
_NO_UPSTREAM = (
    "upstream connect error or disconnect/reset before headers. reset reason: connection refused\n"
)


@dataclass(frozen=True)
class Api:
    """What the API answers from."""

    accounts: Accounts
    registry: Registry
    controller: Controller
    sets: SetController
    cluster: Cluster
    streams: Streams
    webhook_secret: str
    broken: Broken

    def blueprint(self) -> Blueprint:
        """The routes."""
        routes = Blueprint("api", __name__)
        one = "/api/v1/applications/<name>"
        for rule, view, methods in (
            ("/healthz", self.healthz, ["GET"]),
            ("/api/version", self.version, ["GET"]),
            ("/api/webhook", self.webhook, ["POST"]),
            ("/api/v1/session/userinfo", self.userinfo, ["GET"]),
            ("/api/v1/account/can-i/<resource>/<action>/<path:what>", self.can_i, ["GET"]),
            ("/api/v1/projects/<name>", self.get_project, ["GET"]),
            ("/api/v1/applicationsets", self.list_sets, ["GET"]),
            ("/api/v1/applicationsets/<name>", self.get_set, ["GET"]),
            ("/api/v1/applications", self.list_applications, ["GET"]),
            (one, self.get_application, ["GET"]),
            (one, self.delete_application, ["DELETE"]),
            (f"{one}/sync", self.sync_application, ["POST"]),
            (f"{one}/resource-tree", self.resource_tree, ["GET"]),
            (f"{one}/events", self.events, ["GET"]),
            (f"{one}/syncwindows", self.sync_windows, ["GET"]),
            ("/api/v1/stream/applications", self.stream, ["GET"]),
        ):
            routes.add_url_rule(rule, f"{view.__name__}", view, methods=methods)
        routes.before_request(self._require_reachable)
        routes.before_request(_require_json)
        routes.register_error_handler(ApiError, error_answer)
        return routes

    def healthz(self) -> Response:
        return text_answer("ok\n", 200)

    def version(self) -> Response:
        return json_answer({"Version": VERSION})

    def userinfo(self) -> Response:
        try:
            account = self.accounts.authenticate(request.headers.get("Authorization"))
        except Unauthenticated:
            return json_answer({})
        return json_answer({"loggedIn": True, "username": account.name, "iss": "argocd"})

    def can_i(self, resource: str, action: str, what: str) -> Response:
        account = self._account()
        known = resource == "applications" or (resource, action) == ("applicationsets", "get")
        allowed = known and account.may(action, what.partition("/")[0])
        return json_answer({"value": "yes" if allowed else "no"})

    def get_project(self, name: str) -> Response:
        raise ApiError(DENIED, self._account().denial("projects", "get", name))

    def list_sets(self) -> Response:
        account = self._account()
        documents = [
            set_document(one, self.registry)
            for one in self.sets.sets.values()
            if account.may("get", self.controller.project.name)
        ]
        metadata = {"resourceVersion": self.registry.version}
        return json_answer({"metadata": metadata, "items": documents})

    def get_set(self, name: str) -> Response:
        account = self._account()
        one = self.sets.sets.get(name)
        project = self.controller.project.name
        if not account.may("get", project):
            denied = account.denial("applicationsets", "get", f"{project}/{name}")
            raise ApiError(DENIED, denied)
        if one is None:
            raise ApiError(NOT_FOUND, f'applicationsets.argoproj.io "{name}" not found')
        return json_answer(set_document(one, self.registry))

    def list_applications(self) -> Response:
        account = self._account()
        self.broken.wait_while("slow-list", SLOW_LIST)
        matches = asked_for(request.args)
        documents = [
            document
            for document in self.registry.documents()
            if account.may("get", document["spec"]["project"]) and matches(document)
        ]
        metadata = {"resourceVersion": self.registry.version}
        fields = request.args.get("fields")
        if not fields:
            items = [selection.without_resource_health(one) for one in documents]
            return json_answer({"metadata": metadata, "items": items or None})
        wanted = [name.removeprefix("items.") for name in fields.split(",")]
        try:
            items = [selection.select_item(one, wanted) for one in documents]
        except selection.ParentAndChild:
            return json_answer({"error": "failed to marshal error message"}, 500)
        return json_answer({"items": items or None, "metadata": metadata})

    def get_application(self, name: str) -> Response:
        application = self._find(self._account(), name)
        refresh = request.args.get("refresh")
        if refresh in {"normal", "hard"}:
            self.controller.refresh(application, refresh)
        document = self.registry.document(name)
        if document is None:  # gone while we waited
            raise _missing(name)
        return json_answer(document)

    def delete_application(self, name: str) -> Response:
        account = self._account()
        application = self._find(account, name)
        self._require(account, application, "delete")
        cascade = request.args.get("cascade", "true") != "false"
        self.controller.delete(application, cascade=cascade)
        return json_answer({})

    def sync_application(self, name: str) -> Response:
        account = self._account()
        body = _json_body()
        application = self._find(account, name, str(body.get("project") or "") or None)
        self._require(account, application, "sync")
        if body.get("dryRun") or body.get("resources") or body.get("manifests"):
            raise ApiError(UNIMPLEMENTED, "development stand-in: only a full sync is understood")
        if application.deleted is not None:
            raise ApiError(PRECONDITION, "application is deleting")
        if self.controller.is_shut(application):
            raise ApiError(DENIED, "cannot sync: blocked by sync window")
        try:
            self.controller.sync_now(application, account.name, prune=bool(body.get("prune")))
        except Busy as error:
            raise ApiError(PRECONDITION, "another operation is already in progress") from error
        return json_answer(self.registry.document(name))

    def resource_tree(self, name: str) -> Response:
        application = self._find(self._account(), name)
        return json_answer(resource_tree(application, self.cluster, self.controller.project))

    def events(self, name: str) -> Response:
        application = self._find(self._account(), name)
        asked, uid = request.args.get("resourceName", ""), request.args.get("resourceUID", "")
        if not asked and not uid:
            items = application_events(application)
        else:
            tree = resource_tree(application, self.cluster, self.controller.project)
            node = next((one for one in tree.get("nodes", ()) if one["uid"] == uid), None)
            if node is None or node["name"] != asked:
                message = f"{asked} not found as part of application {name}"
                raise ApiError(INVALID_ARGUMENT, message)
            items = resource_events(application, node, self.cluster)
        return json_answer({"metadata": {"resourceVersion": self.registry.version}, "items": items})

    def sync_windows(self, name: str) -> Response:
        if not self.controller.is_shut(self._find(self._account(), name)):
            return json_answer({"canSync": True})
        windows = [{"kind": "deny", "schedule": "* * * * *", "duration": "1h"}]
        return json_answer({"activeWindows": windows, "assignedWindows": windows, "canSync": False})

    def stream(self) -> Response:
        try:
            account = self._account()
        except ApiError as error:
            return stream_error_answer(error)

        matches = asked_for(request.args)

        def is_visible(document: Document) -> bool:
            return account.may("get", document["spec"]["project"]) and matches(document)

        return self.streams.open(request, is_visible)

    def webhook(self) -> Response:
        return answer_webhook(request, self.webhook_secret, self.sets.nudge)

    def _require_reachable(self) -> Response | None:
        return text_answer(_NO_UPSTREAM, 503) if self.broken.has("unreachable") else None

    def _account(self) -> Account:
        try:
            return self.accounts.authenticate(request.headers.get("Authorization"))
        except Unauthenticated as error:
            raise ApiError(UNAUTHENTICATED, str(error)) from error

    def _find(self, account: Account, name: str, project: str | None = None) -> Application:
        """The Application that is asked for; a 403 tells nothing, a 404 needs rights."""
        projects = request.args.getlist("project")
        if len(projects) > 1:
            raise ApiError(
                INVALID_ARGUMENT,
                "multiple projects specified - the get endpoint accepts either zero or one project",
            )
        project = project or (projects[0] if projects else None)
        application = self.registry.get(name)
        if application is None:
            if project is not None and account.may("get", project):
                raise _missing(name)
            raise ApiError(DENIED, "permission denied")
        own = application.project
        if not account.may("get", own) or (project is not None and project != own):
            raise ApiError(DENIED, "permission denied")
        return application

    def _require(self, account: Account, application: Application, action: str) -> None:
        if not account.may(action, application.project):
            what = f"{application.project}/{application.name}"
            raise ApiError(DENIED, account.denial("applications", action, what))


def _missing(name: str) -> ApiError:
    return ApiError(NOT_FOUND, f'applications.argoproj.io "{name}" not found')


def _require_json() -> Response | None:
    """Argo CD looks at this before who asks and what for."""
    if request.method in {"GET", "HEAD"} or request.path == "/api/webhook":
        return None
    if request.mimetype != "application/json":
        return text_answer("Invalid content type\n", 415)
    return None


def _json_body() -> dict[str, Any]:
    try:
        body = json.loads(request.get_data() or b"{}")
    except ValueError as error:
        raise ApiError(INVALID_ARGUMENT, "invalid character in request body") from error
    if not isinstance(body, dict):
        raise ApiError(INVALID_ARGUMENT, "request body is no object")
    return body

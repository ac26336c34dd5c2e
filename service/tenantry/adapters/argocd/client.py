"""Argo CD's API, with the rights of one account on one project.

Owns: what is asked, and telling apart what can go wrong. What an Application's state *means* is
`core.readiness`.

Facts it is built on (seen on Argo CD 3.5): an Application that is missing is 404 only where the
project is named, else 403; a LIST without rights is `200 {"items": null}`, so an empty list is
believed only after asking what the account may; LIST drops `reconciledAt`, `conditions` and
`syncResult.revision` without a word, so that a verdict needs GET; a refresh may hang for minutes.

Do not: refresh one Application twice within two seconds (overlapping refreshes are what hangs);
log or raise the token.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from tenantry.adapters.argocd.answers import (
    allow,
    as_object,
    check,
    explain_failure,
    is_busy,
    is_missing,
)
from tenantry.adapters.argocd.connection import Connection
from tenantry.adapters.argocd.listing import PATHS, ListedApplication, parse_line
from tenantry.adapters.argocd.stream import FIELDS, SILENCE, Arrival, listen
from tenantry.adapters.http import (
    MEBIBYTE,
    Answer,
    RequestFailed,
    RequestTimeout,
    Timeouts,
    make_session,
)
from tenantry.core.application import Application, parse_application
from tenantry.core.application_set import ApplicationSet, parse_set
from tenantry.core.errors import ArgoError, ArgoForbidden, ArgoTokenBad
from tenantry.core.live import Happening, Node, parse_events, parse_tree
from tenantry.core.members import objects_of

LIST_LIMIT = 64 * MEBIBYTE  # 10,000 Applications are about 3 MiB
REFRESH_READ = 5.0  # seconds after which a refresh counts as asked
LIST_FIELDS = ",".join(f"items.{path}" for path in PATHS)


@dataclass(frozen=True)
class Refreshed:
    """`application`: as compared anew; None where there is none, or (`asked`) no answer yet."""

    asked: bool
    application: Application | None


class ArgoCD:
    """A client; threads may share it.

    Every method raises ArgoUnreachable (no answer; what was known stays), ArgoTokenBad,
    ArgoForbidden, or ArgoError for an answer that is none of Argo CD's.
    """

    def __init__(
        self,
        url: str,
        token: Callable[[], str],
        project: str,
        *,
        session: requests.Session | None = None,
        timeouts: Timeouts | None = None,
        ca: Path | None = None,
    ) -> None:
        """`url`: without `/api`; `token`: read at each request, so that it can be rotated;
        `session`: made for `ca` where not given.
        """
        self.url = url.rstrip("/")
        self.project = project
        self._connection = Connection(
            self.url, token, session or make_session(ca), timeouts or Timeouts()
        )

    def __repr__(self) -> str:
        return f"ArgoCD({self.url!r}, project={self.project!r})"

    def list(self) -> list[ListedApplication]:
        """Every Application of the project; ArgoForbidden where the account may see none."""
        params = {"projects": self.project, "fields": LIST_FIELDS}
        answer = self._connection.get("/api/v1/applications", params, limit=LIST_LIMIT)
        items = as_object(self._check(answer)).get("items")
        if not items:
            self._check_rights()
            return []
        if not isinstance(items, list):
            raise ArgoError("Argo CD's list of Applications is not a list.")
        return [parse_line(item) for item in items if isinstance(item, Mapping)]

    def get(self, name: str) -> Application | None:
        """The Application; None where Argo CD says that there is none of that name."""
        answer = self._connection.get(_path(name), {"project": self.project})
        return None if is_missing(answer) else self._application(answer, name)

    def refresh(self, name: str, *, hard: bool = False) -> Refreshed:
        """Ask Argo CD to compare the Application now; waits for the outcome a few seconds only.

        `hard`: also drop its caches, which frees a refresh that hangs.
        """
        params = {"project": self.project, "refresh": "hard" if hard else "normal"}
        usual = self._connection.timeouts
        patience = replace(usual, read=min(REFRESH_READ, usual.read))
        try:
            answer = self._connection.send("GET", _path(name), params, timeouts=patience)
        except RequestTimeout:
            return Refreshed(asked=True, application=None)
        except RequestFailed as error:
            raise explain_failure(error) from error
        if is_missing(answer):
            return Refreshed(asked=False, application=None)
        return Refreshed(asked=True, application=self._application(answer, name))

    def sync(self, name: str) -> bool:
        """Ask Argo CD to apply the Application now; False where there is none of that name.

        An operation that is under way counts as asked. Never by force and never by replacing, which
        would make volume claims anew.
        """
        answer = self._connection.post(
            f"{_path(name)}/sync", {"name": name, "project": self.project, "prune": True}
        )
        if is_missing(answer):
            return False
        if not is_busy(answer):
            as_object(self._check(answer, "sync"))
        return True

    def delete(self, name: str) -> bool:
        """Delete the Application, with what it runs; False where there is none of that name. It is
        still there after that until all of it is gone, and asking again is fine.
        """
        answer = self._connection.delete(_path(name), {"project": self.project})
        if is_missing(answer):
            return False
        as_object(self._check(answer, "delete"))
        return True

    def tree(self, name: str) -> tuple[Node, ...]:
        """What lives of the Application; nothing where there is none of that name."""
        return parse_tree(self._about(name, "resource-tree"))

    def events(self, name: str, *, node: Node | None = None) -> tuple[Happening, ...]:
        """What Kubernetes noted about the Application, or about a node of its tree; nothing where
        there is no Application of that name. Argo CD refuses a node that its tree no longer has.
        """
        params = {}
        if node:  # all three, or nothing is found
            params = {
                "resourceUID": node.uid,
                "resourceNamespace": node.namespace,
                "resourceName": node.name,
            }
        return parse_events(self._about(name, "events", params))

    def may_sync_now(self, name: str) -> bool:
        """Whether sync windows let a sync start that is asked for."""
        return self._about(name, "syncwindows").get("canSync") is not False

    def sets(self) -> tuple[ApplicationSet, ...]:
        """The project's ApplicationSets; ArgoForbidden where the account may see none."""
        path, params = "/api/v1/applicationsets", {"projects": self.project}
        answer = self._connection.get(path, params, limit=LIST_LIMIT)
        body = as_object(self._check(answer, resource="applicationsets"))
        if not body.get("items"):
            self._check_rights("applicationsets")
        return tuple(parse_set(item) for item in objects_of(body, "items"))

    def stream(self, stop: threading.Event, *, silence: float = SILENCE) -> Iterator[Arrival]:
        """What happens to the project's Applications over one connection, first those that are
        there; None for each sign of life. Ends with `stop` and when the server ends it;
        ArgoUnreachable where none of these came for `silence` seconds.
        """
        params = {"projects": self.project, "fields": FIELDS}
        return listen(self._connection, params, stop, silence=silence)

    def version(self) -> str:
        """Argo CD's version, such as `v3.5.1`; needs no token."""
        version = as_object(check(self._connection.get("/api/version"))).get("Version")
        if not isinstance(version, str):
            raise ArgoError("This does not answer like Argo CD.")
        return version

    def logged_in(self) -> bool:
        """Whether Argo CD knows the token: a bad one is answered with 200 here."""
        try:
            answer = check(self._connection.get("/api/v1/session/userinfo"))
        except ArgoTokenBad:
            return False
        return as_object(answer).get("loggedIn") is True

    def may(self, action: str, resource: str = "applications") -> bool:
        """Whether the account may do `action` ("get", "sync", "delete") to the project's
        Applications, or `resource`.
        """
        path = f"/api/v1/account/can-i/{resource}/{quote(action)}/{quote(self.project)}/*"
        return as_object(check(self._connection.get(path))).get("value") == "yes"

    def _check_rights(self, resource: str = "applications") -> None:
        if not self.may("get", resource):
            raise ArgoForbidden(
                f"Argo CD shows no {resource}, because its account may not see any.",
                remedy=allow(self._right("get", resource)),
            )

    def _check(self, answer: Answer, action: str = "get", resource: str = "applications") -> Answer:
        return check(answer, self._right(action, resource))

    def _right(self, action: str, resource: str = "applications") -> str:
        return f"{resource}, {action}, {self.project}/*"

    def _application(self, answer: Answer, name: str) -> Application:
        application = parse_application(as_object(self._check(answer)))
        if application.name != name:
            raise ArgoError(
                "Argo CD answered with something that is not the Application asked for."
            )
        return application

    def _about(
        self, name: str, part: str, params: Mapping[str, str] | None = None
    ) -> Mapping[str, Any]:
        """What Argo CD says of a part of the Application; {} where there is no such Application."""
        whole = {"project": self.project, **(params or {})}
        answer = self._connection.get(f"{_path(name)}/{part}", whole, limit=LIST_LIMIT)
        return {} if is_missing(answer) else as_object(self._check(answer))


def _path(name: str) -> str:
    return f"/api/v1/applications/{quote(name, safe='')}"

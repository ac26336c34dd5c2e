"""Argo CD's API, with the rights of one account on one project.

Owns: requests, the token's place in them, and telling apart what can go wrong. What an
Application's state *means* is `core.readiness`.

Facts it is built on (seen on Argo CD 3.5): an Application that is missing is 404 only where the
project is named, else 403; a LIST without rights is `200 {"items": null}`, so an empty list is
believed only after asking what the account may; LIST drops `reconciledAt`, `conditions` and
`syncResult.revision` without a word, so that a verdict needs GET; a refresh may hang for minutes.

Do not: refresh one Application twice within two seconds (overlapping refreshes are what hangs);
log or raise the token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from tenantry.adapters.argocd.answers import as_object, check, explain_failure, is_missing
from tenantry.adapters.http import (
    MEBIBYTE,
    Answer,
    RequestFailed,
    RequestTimeout,
    Timeouts,
    make_session,
    send,
)
from tenantry.core.application import Application, parse_application
from tenantry.core.errors import ArgoError, ArgoForbidden, ArgoTokenBad

LIST_LIMIT = 64 * MEBIBYTE  # 10,000 Applications are about 3 MiB
GET_LIMIT = 4 * MEBIBYTE
REFRESH_READ = 5.0  # seconds after which a refresh counts as asked

# A parent beside its child is a 500; what is not on Argo CD's own list is dropped without a word.
LIST_FIELDS = ",".join(
    f"items.{path}"
    for path in (
        "metadata.name",
        "metadata.deletionTimestamp",
        "status.health",
        "status.sync.status",
        "status.sync.revision",
        "status.operationState.phase",
        "status.operationState.startedAt",
        "status.operationState.finishedAt",
    )
)


@dataclass(frozen=True)
class ListedApplication:
    """What LIST tells of an Application: enough to see that it changed, too little to judge it."""

    name: str
    deleting: bool
    health: str
    sync: str
    revision: str
    phase: str
    started_at: datetime | None
    finished_at: datetime | None


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
        self._token = token
        self._session = session or make_session(ca)
        self._timeouts = timeouts or Timeouts()

    def __repr__(self) -> str:
        return f"ArgoCD({self.url!r}, project={self.project!r})"

    def list(self) -> list[ListedApplication]:
        """Every Application of the project; ArgoForbidden where the account may see none."""
        params = {"projects": self.project, "fields": LIST_FIELDS}
        answer = self._get("/api/v1/applications", params, limit=LIST_LIMIT)
        items = as_object(check(answer)).get("items")
        if not items:
            self._check_rights()
            return []
        if not isinstance(items, list):
            raise ArgoError("Argo CD's list of Applications is not a list.")
        return [_listed(item) for item in items if isinstance(item, Mapping)]

    def get(self, name: str) -> Application | None:
        """The Application; None where Argo CD says that there is none of that name."""
        answer = self._get(_path(name), {"project": self.project})
        return None if is_missing(answer) else _application(answer, name)

    def refresh(self, name: str, *, hard: bool = False) -> Refreshed:
        """Ask Argo CD to compare the Application now; waits for the outcome a few seconds only.

        `hard`: also drop its caches, which frees a refresh that hangs.
        """
        params = {"project": self.project, "refresh": "hard" if hard else "normal"}
        patience = replace(self._timeouts, read=min(REFRESH_READ, self._timeouts.read))
        try:
            answer = self._send(_path(name), params, patience, GET_LIMIT)
        except RequestTimeout:
            return Refreshed(asked=True, application=None)
        except RequestFailed as error:
            raise explain_failure(error) from error
        if is_missing(answer):
            return Refreshed(asked=False, application=None)
        return Refreshed(asked=True, application=_application(answer, name))

    def version(self) -> str:
        """Argo CD's version, such as `v3.5.1`; needs no token."""
        version = as_object(check(self._get("/api/version"))).get("Version")
        if not isinstance(version, str):
            raise ArgoError("This does not answer like Argo CD.")
        return version

    def logged_in(self) -> bool:
        """Whether Argo CD knows the token: a bad one is answered with 200 here."""
        try:
            answer = check(self._get("/api/v1/session/userinfo"))
        except ArgoTokenBad:
            return False
        return as_object(answer).get("loggedIn") is True

    def may(self, action: str) -> bool:
        """Whether the account may do `action` ("get", "sync", "delete") to the project's
        Applications.
        """
        path = f"/api/v1/account/can-i/applications/{quote(action)}/{quote(self.project)}/*"
        return as_object(check(self._get(path))).get("value") == "yes"

    def _check_rights(self) -> None:
        if not self.may("get"):
            raise ArgoForbidden(
                "Argo CD shows no Applications, because its account may not see any.",
                remedy=f"allow it `applications, get, {self.project}/*` in argocd-rbac-cm",
            )

    def _get(
        self, path: str, params: Mapping[str, str] | None = None, *, limit: int = GET_LIMIT
    ) -> Answer:
        try:
            return self._send(path, params, self._timeouts, limit)
        except RequestFailed as error:
            raise explain_failure(error) from error

    def _send(
        self, path: str, params: Mapping[str, str] | None, timeouts: Timeouts, limit: int
    ) -> Answer:
        headers = {"Authorization": f"Bearer {self._read_token()}", "Accept": "application/json"}
        return send(
            self._session,
            "GET",
            self.url + path,
            timeouts=timeouts,
            limit=limit,
            params=params,
            headers=headers,
        )

    def _read_token(self) -> str:
        token = self._token().strip()
        # checked here, because libraries quote a header that they refuse
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ArgoTokenBad("There is no usable token for Argo CD.")
        return token


def _path(name: str) -> str:
    return f"/api/v1/applications/{quote(name, safe='')}"


def _application(answer: Answer, name: str) -> Application:
    application = parse_application(as_object(check(answer)))
    if application.name != name:
        raise ArgoError("Argo CD answered with something that is not the Application asked for.")
    return application


def _listed(item: Mapping[str, Any]) -> ListedApplication:
    found = parse_application(item)
    return ListedApplication(
        name=found.name,
        deleting=found.deleting,
        health=found.health,
        sync=found.sync,
        revision=found.revision,
        phase=found.phase,
        started_at=found.started_at,
        finished_at=found.finished_at,
    )

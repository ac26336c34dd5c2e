"""Requests to Argo CD in the name of one account: where it is, the token's place, the deadlines."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests

from tenantry.adapters.argocd.answers import explain_failure
from tenantry.adapters.http import MEBIBYTE, Answer, RequestFailed, Timeouts, send
from tenantry.core.errors import ArgoTokenBad

LIMIT = 4 * MEBIBYTE  # of an answer about one Application


@dataclass(frozen=True, repr=False)
class Connection:
    """`url`: without `/api` and a slash at its end; `token`: read at each request."""

    url: str
    token: Callable[[], str]
    session: requests.Session
    timeouts: Timeouts

    def get(
        self, path: str, params: Mapping[str, str] | None = None, *, limit: int = LIMIT
    ) -> Answer:
        """The answer, whatever its status; ArgoUnreachable, ArgoTokenBad, or ArgoError."""
        return self._ask("GET", path, params, limit=limit)

    def post(self, path: str, body: Mapping[str, Any]) -> Answer:
        """As `get`; `body` is sent as JSON."""
        return self._ask("POST", path, body=json.dumps(body).encode())

    def delete(self, path: str, params: Mapping[str, str]) -> Answer:
        """As `get`."""
        return self._ask("DELETE", path, params)

    def send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        body: bytes | None = None,
        timeouts: Timeouts | None = None,
        limit: int = LIMIT,
    ) -> Answer:
        """One request; RequestFailed as in `adapters.http`, ArgoTokenBad for want of a token."""
        headers = self.headers("application/json")
        if method != "GET":  # also without a body, else it is a 415
            headers["Content-Type"] = "application/json"
        return send(
            self.session,
            method,
            self.url + path,
            timeouts=timeouts or self.timeouts,
            limit=limit,
            params=params,
            headers=headers,
            body=body,
        )

    def headers(self, accept: str) -> dict[str, str]:
        """Those of a request now."""
        return {"Authorization": f"Bearer {self._read_token()}", "Accept": accept}

    def _ask(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        body: bytes | None = None,
        limit: int = LIMIT,
    ) -> Answer:
        try:
            return self.send(method, path, params, body=body, limit=limit)
        except RequestFailed as error:
            raise explain_failure(error) from error

    def _read_token(self) -> str:
        token = self.token().strip()
        # checked here, because libraries quote a header that they refuse
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ArgoTokenBad("There is no usable token for Argo CD.")
        return token

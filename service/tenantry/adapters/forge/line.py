"""The one way to a forge's API, whatever speaks through it: our own requests or a library's.

Owns: the token's place in requests, deadlines and bounds (through `tenantry.adapters.http`), and
telling apart what can go wrong. What comes back is a success with JSON, or nothing.

Do not: retry, which is the caller's business as it knows what else it asks of the forge; follow a
redirect; log or raise the token.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from tenantry.adapters.forge import refusals
from tenantry.adapters.http import (
    MEBIBYTE,
    Answer,
    AnswerBroken,
    RequestFailed,
    Timeouts,
    make_session,
    send,
)
from tenantry.core.errors import ForgeError, ForgeTokenBad, ForgeUnreachable

LIMIT = 128 * MEBIBYTE  # a hundred merge requests with texts of the largest size that GitLab takes
CONNECT_WITHIN = 3.0  # seconds


class Line:
    """Requests in the name of one account; threads may share it."""

    def __init__(
        self,
        base: str,
        token: Callable[[], str],
        *,
        scheme: str = "Bearer",
        ca_file: Path | None = None,
        deadline: float,
    ) -> None:
        """`base`: URL that paths of `ask` are below; `token`: read at each request, so that it can
        be rotated; `scheme`: what stands before it; `deadline`: seconds for a whole answer.
        """
        self.base = base.rstrip("/")
        parts = urlsplit(self.base)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self._token, self._scheme = token, scheme
        self._session = make_session(ca_file)
        self._timeouts = Timeouts(min(CONNECT_WITHIN, deadline), deadline, deadline)

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: Mapping[str, str] | None = None,
    ) -> Any:
        """The JSON of a forge's answer; None where it is empty."""
        query = f"?{urlencode(params)}" if params else ""
        content = None if body is None else json.dumps(body).encode()
        answer = self.send(method, f"{self.base}{path}{query}", {}, content)
        return answer.json() if answer.body else None

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """A forge's answer, which is a success with JSON or empty; else the error of its case."""
        if not url.startswith(f"{self.origin}/"):
            raise ForgeError(f"The forge points away from {self.origin}, where its token is for.")
        token = self._read_token()
        sent = {"Accept": "application/json", "Content-Type": "application/json", **headers}
        sent["Authorization"] = f"{self._scheme} {token}"
        try:
            answer = send(
                self._session,
                method,
                url,
                timeouts=self._timeouts,
                limit=LIMIT,
                headers=sent,
                body=body,
            )
        except AnswerBroken as error:
            raise ForgeError(f"The forge's answer cannot be used: {error}.") from error
        except RequestFailed as error:
            raise ForgeUnreachable(f"The forge cannot be reached: {error}.") from error
        return refusals.check(answer, token)

    def _read_token(self) -> str:
        token = self._token().strip()
        # checked here, because libraries quote a header that they refuse
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ForgeTokenBad("There is no usable token for the forge.")
        return token

"""The one way to speak HTTP to a neighbor.

Owns: sessions that trust nothing of the environment (no proxy, no netrc that would replace our
token, no certificate bundle), one request within a deadline, and answers bounded in size.
Redirects are never followed: a token sent to where a redirect points is a token lost.

Do not: put a URL with credentials or a header into a message; raise on a status, whose meaning is
the caller's business.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.exceptions import HTTPError, ReadTimeoutError

MEBIBYTE = 1024 * 1024
CHUNK = 64 * 1024
LINE_ERRORS = (OSError, http.client.HTTPException)  # of a connection that `make_line` made
LineAnswer = http.client.HTTPResponse

_ERRNO = re.compile(r"\[Errno -?\d+\] ([A-Za-z ,-]+)")


class RequestFailed(Exception):
    """No answer, or not a whole one; the text says why and holds no secret."""


class RequestTimeout(RequestFailed):
    """The request was sent and the answer did not come in time."""


class AnswerBroken(RequestFailed):
    """Something answered, but not with a whole answer of a size that can be right."""


@dataclass(frozen=True)
class Timeouts:
    """Seconds: to connect, between two pieces of an answer, and for the whole of it."""

    connect: float = 3
    read: float = 10
    total: float = 30


@dataclass(frozen=True)
class Answer:
    """A whole answer of a neighbor."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; ValueError where it is none."""
        try:
            return json.loads(self.body)
        except RecursionError as error:
            raise ValueError("JSON nested too deeply") from error

    @property
    def text(self) -> str:
        """The start of the body, for messages."""
        return self.body[:300].decode("utf-8", "replace").strip()


def make_session(ca: Path | None = None, *, connections: int = 8) -> requests.Session:
    """A session that takes nothing from the environment; `ca`: certificates to trust instead of the
    system's. Sessions are shared by threads: they keep no cookies and are not changed afterwards.
    """
    session = requests.Session()
    session.trust_env = False
    session.verify = str(ca) if ca else True
    session.headers["User-Agent"] = "tenantry"
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = HTTPAdapter(pool_maxsize=connections, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def make_line(url: str, session: requests.Session, timeout: float) -> http.client.HTTPConnection:
    """A connection for an answer that goes on and on; not open yet. Its socket is at hand before
    there is an answer, so that who waits can be stopped, which a session lacks. It trusts what the
    session trusts.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=timeout)
    authorities = session.verify if isinstance(session.verify, str) else DEFAULT_CA_BUNDLE_PATH
    context = ssl.create_default_context(cafile=authorities)
    return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)


def send(
    session: requests.Session,
    method: str,
    url: str,
    *,
    timeouts: Timeouts,
    limit: int = 32 * MEBIBYTE,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    """One request and its whole answer, whatever its status; a redirect is an answer like others.

    RequestTimeout where the answer does not come in time (the total is looked at between two
    pieces), AnswerBroken where it breaks off or is larger than `limit` bytes, RequestFailed where
    there is none.
    """
    ends = time.monotonic() + timeouts.total
    try:
        with session.request(
            method,
            url,
            params=params,
            headers=headers,
            data=body,
            timeout=(timeouts.connect, timeouts.read),
            allow_redirects=False,
            stream=True,
        ) as response:
            content = _read(response, ends, limit)
            return Answer(response.status_code, response.headers, content)
    except (requests.ReadTimeout, ReadTimeoutError) as error:
        raise RequestTimeout("no answer in time") from error
    except HTTPError as error:
        raise AnswerBroken("the answer broke off or cannot be decoded") from error
    except requests.RequestException as error:
        raise RequestFailed(_explain(error)) from error


def _read(response: requests.Response, ends: float, limit: int) -> bytes:
    # read1: a piece is what one receive brings, so that a slow drip cannot hide from the clock
    pieces = bytearray()
    while piece := response.raw.read1(CHUNK, decode_content=True):
        pieces += piece
        if len(pieces) > limit:
            raise AnswerBroken(f"the answer is larger than {limit} bytes")
        if time.monotonic() > ends:
            raise RequestTimeout("the answer takes too long")
    return bytes(pieces)


def _explain(error: requests.RequestException) -> str:
    """Why, without the URL and headers that libraries put into their messages."""
    if isinstance(error, requests.exceptions.SSLError):
        return "the certificate is not trusted"
    if isinstance(error, requests.ConnectTimeout):
        return "no connection in time"
    if found := _ERRNO.search(str(error)):
        return found[1].strip().lower()
    if isinstance(error, requests.ConnectionError):
        return "no HTTP answer" if "aborted" in str(error) else "no connection"
    return f"the request cannot be sent ({type(error).__name__})"

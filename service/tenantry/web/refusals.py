"""What gunicorn itself refuses, before there is a request for the application: said in the one
shape of all errors, and the connection closed, since nobody knows where the next request begins.
"""

from __future__ import annotations

import contextlib
import socket
import uuid
from http import HTTPStatus

import structlog
from gunicorn.http import errors

from tenantry.core.frames import frames
from tenantry.web.errors import HTTP, INTERNAL, MEDIA_TYPE, Public, build_problem

log = structlog.get_logger()

_SEND_WITHIN = 2.0  # seconds

_STATUS: dict[type[Exception], int] = {
    errors.LimitRequestLine: 414,
    errors.ExpectationFailed: 417,
    errors.LimitRequestHeaders: 431,
    errors.UnsupportedTransferCoding: 501,
}
_OURS = (
    errors.ConfigurationProblem,
    errors.InvalidResponseHeader,  # type: ignore[attr-defined] # newer than its types
    errors.InvalidResponseHeaderName,  # type: ignore[attr-defined]
)


def refuse(connection: socket.socket, error: BaseException, *, public_url: str) -> None:
    """Answer a request that could not be read because of `error`."""
    request_id = str(uuid.uuid4())
    public = _public(error)
    if public is INTERNAL:
        kind = type(error).__qualname__
        log.error("request.failed", request_id=request_id, error=kind, frames=frames(error))
    with contextlib.suppress(OSError):
        connection.settimeout(_SEND_WITHIN)
        connection.sendall(_answer(public, public_url, request_id))


def _public(error: BaseException) -> Public:
    if not isinstance(error, errors.ParseException) or isinstance(error, _OURS):
        return INTERNAL
    return HTTP[next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 400)]


def _answer(public: Public, public_url: str, request_id: str) -> bytes:
    problem = build_problem(public, public_url=public_url, request_id=request_id)
    body = problem.model_dump_json(exclude_none=True).encode()
    head = (
        f"HTTP/1.1 {public.status} {HTTPStatus(public.status).phrase}",
        "Connection: close",
        f"Content-Type: {MEDIA_TYPE}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        f"X-Request-Id: {request_id}",
    )
    return "\r\n".join((*head, "", "")).encode("ascii") + body

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

from tenantry.core.errors import frames
from tenantry.web.errors import INTERNAL, MEDIA_TYPE, Public, build_problem

log = structlog.get_logger()

_SEND_WITHIN = 2.0  # seconds

_UNREADABLE = Public(400, "bad_request", "Bad request", "The request could not be read.")
_KNOWN: dict[type[Exception], Public] = {
    errors.LimitRequestLine: Public(
        414, "uri_too_long", "Address too long", "The request's first line is too long."
    ),
    errors.LimitRequestHeaders: Public(
        431,
        "headers_too_large",
        "Headers too large",
        "The request has too many or too long headers.",
    ),
    errors.ExpectationFailed: Public(
        417, "expectation_failed", "Expectation failed", "Only 100-continue may be expected."
    ),
    errors.UnsupportedTransferCoding: Public(
        501, "transfer_coding", "Unsupported transfer coding", "Only chunked bodies can be read."
    ),
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
    return next((_KNOWN[kind] for kind in type(error).__mro__ if kind in _KNOWN), _UNREADABLE)


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

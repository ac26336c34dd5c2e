"""What the outside is told of each error: one table, one shape, two renderings.

Everything that is not in `PUBLIC` is a bare 500 with a request id. Detail goes to the log, and the
log gets frames and types, never a message of a foreign exception: those quote values (SQL
parameters, form fields).
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from flask import Flask, Response, g, render_template, request
from werkzeug.exceptions import (
    ClientDisconnected,
    HTTPException,
    MethodNotAllowed,
    RequestEntityTooLarge,
)

from tenantry.core.errors import EmailTaken, InvalidInput, NotFound, TenantryError
from tenantry.web import bodies
from tenantry.web.api.models import Problem
from tenantry.web.context import current_service, request_id
from tenantry.web.negotiation import prefers_html

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Public:
    """What is said of a kind of error; `error` is the short text, `message` the longer one."""

    status: int
    code: str
    error: str
    message: str | None = None


PUBLIC: dict[type[TenantryError], Public] = {
    InvalidInput: Public(400, "invalid_input", "The request is not valid"),
    EmailTaken: Public(
        409,
        "email_taken",
        "Email already registered",
        "An account with this email already exists",
    ),
    NotFound: Public(404, "not_found", "Not found", "There is nothing here."),
}

_HTTP: dict[int, Public] = {
    p.status: p
    for p in (
        Public(400, "bad_request", "Bad request", "The request could not be read."),
        Public(404, "not_found", "Not found", "There is nothing here."),
        Public(405, "method_not_allowed", "Method not allowed", "See the Allow header."),
        Public(406, "not_acceptable", "Not acceptable", "Only JSON is served here."),
        Public(411, "length_required", "Length required", "Say how long the body is."),
        Public(
            413, "too_large", "Request too large", f"At most {bodies.LIMIT // 1024} KiB are read."
        ),
        Public(
            415,
            "unsupported_media_type",
            "Unsupported media type",
            "Send application/json, application/x-www-form-urlencoded or multipart/form-data.",
        ),
    )
}

INTERNAL = Public(
    500,
    "internal",
    "Internal server error",
    "Something went wrong on our side. Please try again in a moment.",
)


def register(app: Flask) -> None:
    app.register_error_handler(HTTPException, _answer_http)
    app.register_error_handler(TenantryError, _answer_ours)
    app.register_error_handler(Exception, _answer_unexpected)


def known_problems() -> list[Public]:
    """Every kind of error that has words, by status; for the documentation."""
    kinds = {p.code: p for p in (*PUBLIC.values(), *_HTTP.values(), INTERNAL)}
    return sorted(kinds.values(), key=lambda p: (p.status, p.code))


def problem_of(error: TenantryError) -> Problem | None:
    """What may be said of the error; None where nothing may."""
    public = next((PUBLIC[kind] for kind in type(error).__mro__ if kind in PUBLIC), None)
    if public is None:
        return None
    if isinstance(error, InvalidInput):
        own = Public(public.status, error.code, error.message, error.message)
        return make_problem(own, kind=public, field=error.field)
    return make_problem(public)


def make_problem(
    public: Public, *, kind: Public | None = None, field: str | None = None
) -> Problem:
    """The answer for `public`; `kind` is the documented family, where it is another."""
    family = kind or public
    return Problem(
        type=f"{current_service().public_url}/api/docs#error-{family.code}",
        title=family.error,
        status=public.status,
        detail=public.message or public.error,
        instance=f"urn:uuid:{request_id()}",
        error=public.error,
        message=public.message or public.error,
        code=public.code,
        request_id=request_id(),
        field=field,
    )


def render_problem(problem: Problem) -> Response:
    """The problem as JSON, or as a small page for a browser."""
    if prefers_html():
        page = render_template("error.html", problem=problem)
        return Response(page, problem.status, mimetype="text/html")
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, problem.status, mimetype=MEDIA_TYPE)


def _answer_http(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:  # a redirect, such as to the path with a slash
        return Response(status=status, headers=[*error.get_headers()])
    answer = render_problem(make_problem(_HTTP.get(status) or _plain(status)))
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        answer.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    if isinstance(error, RequestEntityTooLarge | ClientDisconnected):
        # the rest of the body is unread: the connection cannot carry another request
        answer.headers["Connection"] = "close"
    return answer


def _plain(status: int) -> Public:
    phrase = HTTPStatus(status).phrase
    return Public(status, phrase.lower().replace(" ", "_"), phrase.capitalize())


def _answer_ours(error: TenantryError) -> Response:
    problem = problem_of(error)
    return _answer_unexpected(error) if problem is None else render_problem(problem)


def _answer_unexpected(error: Exception) -> Response:
    g.failed = True
    log.error(
        "request.failed",
        endpoint=request.endpoint,
        method=request.method,
        error=type(error).__qualname__,
        frames=_frames(error),
    )
    return render_problem(make_problem(INTERNAL))


def _frames(error: BaseException) -> list[str]:
    """Where it happened, causes first; places, code and types only, no values."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.insert(0, link)
        link = link.__cause__ or link.__context__
    return [
        f"{type(part).__qualname__} {frame.filename}:{frame.lineno} {frame.name}: {frame.line}"
        for part in chain
        for frame in traceback.extract_tb(part.__traceback__)
    ]

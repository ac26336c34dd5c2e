"""What the outside is told of each error: one table, one shape, two renderings.

Everything that is not in `PUBLIC` is a bare 500 with a request id. Detail goes to the log, and the
log gets frames and types, never a message of a foreign exception: those quote values (SQL
parameters, form fields).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from http import HTTPStatus

import structlog
from flask import Flask, Response, g, render_template, request
from werkzeug.exceptions import (
    ClientDisconnected,
    HTTPException,
    MethodNotAllowed,
    RequestEntityTooLarge,
)

from tenantry.core.errors import (
    DatabaseUnavailable,
    EmailTaken,
    Forbidden,
    InvalidInput,
    KeyReused,
    NotFound,
    RateLimited,
    ReadOnlyService,
    RequestRunning,
    SignupsClosed,
    TenantryError,
    TooManyAttempts,
)
from tenantry.core.frames import frames
from tenantry.web import bodies
from tenantry.web.api.models import Problem
from tenantry.web.context import current_service, request_id
from tenantry.web.forms import instead_of
from tenantry.web.negotiation import prefers_html

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Public:
    """What is said of a kind of error; `error` is the short text, `message` the longer one.
    `{wait}` in the latter becomes how long to wait.
    """

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
    Forbidden: Public(
        403,
        "forbidden",
        "The page is out of date",
        "What was sent is not from a page of this session; please open the page again.",
    ),
    NotFound: Public(404, "not_found", "Not found", "There is nothing here."),
    RateLimited: Public(
        429, "rate_limited", "Too many signups", "Too many signups; please try again in {wait}."
    ),
    TooManyAttempts: Public(
        429,
        "too_many_attempts",
        "Too many attempts",
        "Too many attempts; please try again in {wait}.",
    ),
    RequestRunning: Public(
        409,
        "idempotency_running",
        "Signup is at work",
        "The same signup is still being worked on; please send it again in {wait}.",
    ),
    KeyReused: Public(
        422,
        "idempotency_key_reused",
        "Idempotency-Key was used before",
        "This Idempotency-Key came with another request; take a new key for each signup.",
    ),
    SignupsClosed: Public(
        503,
        "signups_closed",
        "Signups are closed",
        "No new accounts are made just now. Please come back later; everything that runs goes on.",
    ),
    ReadOnlyService: Public(
        503,
        "read_only_service",
        "Nothing can be changed just now",
        "The service is being worked on; please try again in {wait}. Everything that runs goes on.",
    ),
    DatabaseUnavailable: Public(
        503,
        "database_unavailable",
        "Temporarily unavailable",
        "The service cannot answer just now; please try again in {wait}.",
    ),
}

HTTP: dict[int, Public] = {
    p.status: p
    for p in (
        Public(400, "bad_request", "Bad request", "The request could not be read."),
        Public(401, "unauthorized", "Unauthorized", "The signature or token is missing or wrong."),
        Public(404, "not_found", "Not found", "There is nothing here."),
        Public(
            405,
            "method_not_allowed",
            "Method not allowed",
            "This address shows nothing by itself; the Allow header says what it takes.",
        ),
        Public(406, "not_acceptable", "Not acceptable", "Only JSON is served here."),
        Public(411, "length_required", "Length required", "Say how long the body is."),
        Public(
            413,
            "too_large",
            "Request too large",
            f"At most {bodies.LIMIT // 1024} KiB are read, and of a webhook "
            f"{bodies.HOOK_LIMIT // 1024} KiB.",
        ),
        Public(414, "uri_too_long", "Address too long", "The request's first line is too long."),
        Public(
            415,
            "unsupported_media_type",
            "Unsupported media type",
            "Send application/json, application/x-www-form-urlencoded or multipart/form-data.",
        ),
        Public(
            417,
            "expectation_failed",
            "Expectation failed",
            "Only 100-continue may be expected.",
        ),
        Public(
            431,
            "headers_too_large",
            "Headers too large",
            "The request has too many or too long headers.",
        ),
        Public(
            501,
            "transfer_coding",
            "Unsupported transfer coding",
            "Only chunked bodies can be read.",
        ),
        Public(
            503,
            "unavailable",
            "Temporarily unavailable",
            "The service cannot take this just now; please send it again later.",
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
    said = (*PUBLIC.values(), *HTTP.values(), INTERNAL)
    kinds = {p.code: _fill(p, "a while") for p in said}
    return sorted(kinds.values(), key=lambda p: (p.status, p.code))


def problem_of(error: TenantryError) -> Problem | None:
    """What may be said of the error; None where nothing may."""
    public = next((PUBLIC[kind] for kind in type(error).__mro__ if kind in PUBLIC), None)
    if public is None:
        return None
    if isinstance(error, InvalidInput):
        own = Public(public.status, error.code, error.message, error.message)
        return make_problem(own, kind=public, field=error.field)
    return make_problem(_fill(public, in_words(wait_of(error))))


def _fill(public: Public, wait: str) -> Public:
    return replace(public, message=public.message and public.message.replace("{wait}", wait))


def wait_of(error: TenantryError) -> int:
    """Whole seconds until trying again is worthwhile, at least one."""
    return max(1, math.ceil(error.retry_after or 0))


def in_words(seconds: int) -> str:
    """`40 seconds`, `12 minutes`, `2 hours`: never less than it is."""
    if seconds >= 2 * 3600:
        return f"{-(-seconds // 3600)} hours"
    if seconds >= 2 * 60:
        return f"{-(-seconds // 60)} minutes"
    return "1 second" if seconds == 1 else f"{seconds} seconds"


def make_problem(
    public: Public, *, kind: Public | None = None, field: str | None = None
) -> Problem:
    """The answer for `public`; `kind` is the documented family, where it is another."""
    return build_problem(
        public,
        kind=kind,
        field=field,
        public_url=current_service().public_url,
        request_id=request_id(),
    )


def build_problem(
    public: Public,
    *,
    public_url: str,
    request_id: str,
    kind: Public | None = None,
    field: str | None = None,
) -> Problem:
    """As `make_problem`, also where there is no request."""
    family = kind or public
    return Problem(
        type=f"{public_url}/api/docs#error-{family.code}",
        title=family.error,
        status=public.status,
        detail=public.message or public.error,
        instance=f"urn:uuid:{request_id}",
        error=public.error,
        message=public.message or public.error,
        code=public.code,
        request_id=request_id,
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
    if isinstance(error, MethodNotAllowed):
        error = instead_of(error)
    status = error.code or 500
    if status < 400:  # a redirect, such as to the path with a slash
        return Response(status=status, headers=[*error.get_headers()])
    answer = render_problem(make_problem(HTTP.get(status) or _plain(status)))
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
    if problem is None:
        return _answer_unexpected(error)
    return say_when(error, render_problem(problem))


def say_when(error: TenantryError, answer: Response) -> Response:
    """The answer with `Retry-After`, where trying again is worthwhile."""
    if isinstance(error, DatabaseUnavailable):
        log.warning("database.unavailable", endpoint=request.endpoint, detail=error.message)
    if error.retry_after is not None:
        answer.headers["Retry-After"] = str(wait_of(error))
    return answer


def _answer_unexpected(error: Exception) -> Response:
    g.failed = True
    log.error(
        "request.failed",
        endpoint=request.endpoint,
        method=request.method,
        error=type(error).__qualname__,
        frames=frames(error),
    )
    return render_problem(make_problem(INTERNAL))

"""How pages answer that are one person's: not for search engines, and never kept (`headers`)."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response

from tenantry.core.errors import TenantryError
from tenantry.web.api.models import Problem
from tenantry.web.errors import problem_of, say_when


def show(body: str, status: int = HTTPStatus.OK) -> Response:
    """A page."""
    answer = Response(body, status, mimetype="text/html")
    answer.headers["X-Robots-Tag"] = "noindex, nofollow"
    return answer


def show_again(body: str, problem: Problem, error: TenantryError) -> Response:
    """A form that is to be corrected, or sent later."""
    return say_when(error, show(body, problem.status))


def require_problem(error: TenantryError) -> Problem:
    """What a form may say of the error; the error itself where nothing may be."""
    problem = problem_of(error)
    if problem is None:
        raise error
    return problem


def typed_again(text: object) -> str:
    """What was typed into a field, for the page that shows it again: always text that can be
    sent, which JSON may not hold.
    """
    return text.encode("utf-8", "replace").decode() if isinstance(text, str) else ""


def go(path: str) -> Response:
    """Sends the browser on; relative, so that it stays on the host that it came by."""
    return Response(status=HTTPStatus.SEE_OTHER, headers={"Location": path})

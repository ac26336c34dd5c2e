"""Set another password (R8). The address of the second page is a secret, and good once."""

from __future__ import annotations

from http import HTTPStatus

from flask import Blueprint, Response, render_template, request

from tenantry.core.errors import InvalidInput, NotFound, RateLimited
from tenantry.flows.accounts.passwords import address_of, ask_reset, enter_anew
from tenantry.web.agents import in_words
from tenantry.web.api.models import Problem
from tenantry.web.bodies import read_fields
from tenantry.web.context import current_service, requesting_network
from tenantry.web.login import enter_session
from tenantry.web.operations import page
from tenantry.web.pages.answers import require_problem, show, show_again, typed_again
from tenantry.web.pages.notes import go_home

blueprint = Blueprint("reset_page", __name__)


@blueprint.get("/reset")
@page
def show_request() -> Response:
    return show(_ask())


@blueprint.post("/reset")
@page
def request_link() -> Response:
    service, email = current_service(), read_fields().get("email")
    try:
        ask_reset(service, email, network=requesting_network(), now=service.now())
    except RateLimited as error:
        problem = require_problem(error)
        return show_again(_ask(email=email, problem=problem), problem, error)
    return show(_ask(is_sent=True))


@blueprint.get("/reset/<token>")
@page
def show_reset(token: str) -> Response:
    service = current_service()
    try:
        return show(_form(address_of(service, token, now=service.now())))
    except NotFound:
        return _void()


@blueprint.post("/reset/<token>")
@page
def reset(token: str) -> Response:
    service, typed = current_service(), read_fields().get("password")
    who = {
        "network": requesting_network(),
        "agent": in_words(request.headers.get("User-Agent", "")),
    }
    try:
        session = enter_anew(service, token, typed, **who, now=service.now())
    except NotFound:
        return _void()
    except InvalidInput as error:
        return _correct(token, require_problem(error), error)
    except RateLimited as error:
        problem = require_problem(error)
        return show_again(_ask(problem=problem), problem, error)
    answer = go_home("password")
    enter_session(answer, session)
    return answer


def _correct(token: str, problem: Problem, error: InvalidInput) -> Response:
    service = current_service()
    try:
        email = address_of(service, token, now=service.now())
    except NotFound:
        return _void()
    return show_again(_form(email, problem), problem, error)


def _void() -> Response:
    return show(_ask(is_void=True), HTTPStatus.NOT_FOUND)


def _ask(
    *,
    email: object = "",
    is_sent: bool = False,
    is_void: bool = False,
    problem: Problem | None = None,
) -> str:
    return render_template(
        "reset.html", email=typed_again(email), is_sent=is_sent, is_void=is_void, problem=problem
    )


def _form(email: str, problem: Problem | None = None) -> str:
    rules = current_service().password_rules
    return render_template("reset_password.html", email=email, problem=problem, rules=rules)

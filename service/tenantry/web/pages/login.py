"""Log in and out (R8)."""

from __future__ import annotations

from flask import Blueprint, Response, render_template, request

from tenantry.core.errors import InvalidInput, RateLimited
from tenantry.flows.accounts.entry import log_in
from tenantry.flows.accounts.logins import end_login
from tenantry.web.agents import in_words
from tenantry.web.api.models import Problem
from tenantry.web.bodies import read_fields
from tenantry.web.context import current_service, requesting_network
from tenantry.web.login import check_form, current_login, enter_session, leave_session, own_path
from tenantry.web.operations import page
from tenantry.web.pages.answers import go, require_problem, show, show_again, typed_again

blueprint = Blueprint("login_page", __name__)


@blueprint.get("/login")
@page
def show_login() -> Response:
    back = own_path(request.args.get("next"))
    return go(back) if current_login() else show(_render(back))


@blueprint.post("/login")
@page
def enter() -> Response:
    service, fields = current_service(), read_fields()
    back = own_path(fields.get("next"))
    try:
        token = log_in(
            service,
            fields.get("email"),
            fields.get("password"),
            network=requesting_network(),
            agent=in_words(request.headers.get("User-Agent", "")),
            replaces=current_login(),
            now=service.now(),
        )
    except (InvalidInput, RateLimited) as error:
        problem = require_problem(error)
        return show_again(_render(back, fields.get("email"), problem), problem, error)
    answer = go(back)
    enter_session(answer, token)
    return answer


@blueprint.post("/logout")
@page
def leave() -> Response:
    login = current_login()
    if login:
        check_form(read_fields())
        end_login(current_service(), login.customer_id, login.token_hash)
    answer = go("/login")
    leave_session(answer)
    return answer


def _render(back: str, email: object = "", problem: Problem | None = None) -> str:
    return render_template("login.html", back=back, email=typed_again(email), problem=problem)

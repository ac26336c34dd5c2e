"""Confirm an address (R8): opening the link shows a button, since scanners open links, too."""

from __future__ import annotations

from http import HTTPStatus

from flask import Blueprint, Response, render_template

from tenantry.core.errors import NotFound, RateLimited
from tenantry.flows.accounts import confirming
from tenantry.web.bodies import read_fields
from tenantry.web.context import current_service, requesting_network
from tenantry.web.login import check_form, require_login
from tenantry.web.operations import page
from tenantry.web.pages.answers import require_problem, show, show_again

blueprint = Blueprint("confirm_page", __name__)


@blueprint.get("/confirm/<token>")
@page
def show_confirm(token: str) -> Response:
    service = current_service()
    try:
        is_done = confirming.has_confirmed(service, token, now=service.now())
    except NotFound:
        return show(_render("void"), HTTPStatus.NOT_FOUND)
    return show(_render("done" if is_done else "asked"))


@blueprint.post("/confirm/<token>")
@page
def confirm(token: str) -> Response:
    service = current_service()
    try:
        confirming.confirm(service, token, now=service.now())
    except NotFound:
        return show(_render("void"), HTTPStatus.NOT_FOUND)
    return show(_render("done"))


@blueprint.post("/confirm")
@page
def send_again() -> Response:
    service, login = current_service(), require_login()
    check_form(read_fields())
    network, now = requesting_network(), service.now()
    try:
        confirming.ask_again(service, login.customer_id, network=network, now=now)
    except RateLimited as error:
        problem = require_problem(error)
        return show_again(_render("later", problem.message), problem, error)
    return show(_render("sent"))


def _render(state: str, fault: str = "") -> str:
    return render_template("confirm.html", state=state, fault=fault)

"""The customer's own page: what it has, and what it may decide."""

from __future__ import annotations

import re
from datetime import datetime

from flask import Blueprint, Response, render_template

from tenantry.core.days import time_zones
from tenantry.core.errors import InvalidInput
from tenantry.flows.accounts import choices
from tenantry.flows.accounts.first_login import show_first_login
from tenantry.flows.accounts.logins import end_login, end_other_logins, list_logins
from tenantry.flows.accounts.overview import Overview, read_license, read_overview
from tenantry.web.api.models import Problem
from tenantry.web.bodies import read_fields
from tenantry.web.context import current_service
from tenantry.web.login import LoggedIn, check_form, require_login
from tenantry.web.operations import page
from tenantry.web.pages.answers import require_problem, show, show_again, typed_again
from tenantry.web.pages.notes import go_home, read_note, said_once
from tenantry.web.pages.words import (
    ANSWERING,
    STAGES,
    WORDS,
    plan_title,
    tell_change,
    tell_phases,
    tell_stage,
    tell_wait,
)

blueprint = Blueprint("account_page", __name__)

_SESSION = re.compile("[0-9a-f]{64}")


@blueprint.get("/account")
@page
def show_account() -> Response:
    return said_once(show(_render(require_login(), note=read_note())))


@blueprint.get("/account/license")
@page
def download_license() -> Response:
    token = read_license(current_service(), require_login().customer_id)
    answer = Response(token, mimetype="application/jwt")
    answer.headers["Content-Disposition"] = 'attachment; filename="license.jwt"'
    return answer


@blueprint.post("/account/first-login")
@page
def tell_first_login() -> Response:
    login, _ = _sent()
    found = show_first_login(current_service(), login.customer_id)
    return show(render_template("account_first_login.html", login=found))


@blueprint.get("/account/cancel")
@page
def ask_to_cancel() -> Response:
    service, login = current_service(), require_login()
    view = read_overview(service, login.customer_id)
    if not view.can_cancel:
        return go_home()
    told = tell_phases(view.if_cancelled, view.booking.time_zone, service.now())
    return show(render_template("account_cancel.html", view=view, told=list(told)))


@blueprint.post("/account/cancel")
@page
def cancel() -> Response:
    login, _ = _sent()
    return go_home("cancelled" if choices.cancel(current_service(), login.customer_id) else None)


@blueprint.post("/account/resume")
@page
def resume() -> Response:
    login, _ = _sent()
    return go_home("kept" if choices.resume(current_service(), login.customer_id) else None)


@blueprint.post("/account/time-zone")
@page
def change_time_zone() -> Response:
    login, fields = _sent()
    try:
        choices.change_time_zone(current_service(), login.customer_id, fields.get("time_zone"))
    except InvalidInput as error:
        problem = require_problem(error)
        return show_again(_render(login, problem), problem, error)
    return go_home("time-zone")


@blueprint.post("/account/sessions/end")
@page
def end_session() -> Response:
    """One session, or without one all but this."""
    service, (login, fields) = current_service(), _sent()
    if "session" not in fields:
        end_other_logins(service, login)
    elif _SESSION.fullmatch(session := typed_again(fields["session"])):
        end_login(service, login.customer_id, session)
    return go_home("sessions")


def _sent() -> tuple[LoggedIn, dict[str, object]]:
    """Who sent a form of ours, and its fields."""
    login, fields = require_login(), read_fields()
    check_form(fields)
    return login, dict(fields)


def _tell(view: Overview, now: datetime) -> list[str]:
    if view.status.waits:
        return [tell_wait(view.booking)]
    return list(tell_stage(view.stage, view.booking, view.phases, now))


def _render(login: LoggedIn, problem: Problem | None = None, *, note: str | None = None) -> str:
    service = current_service()
    now = service.now()
    view = read_overview(service, login.customer_id)
    return render_template(
        "account.html",
        view=view,
        now=now,
        word=WORDS[view.status.status],
        is_answering=view.status.status in ANSWERING,
        stage=STAGES[view.stage],
        told=_tell(view, now),
        plan=plan_title(view.booking.plan),
        tell_change=tell_change,
        zones=time_zones(),
        logins=list_logins(service, login.customer_id, now=now),
        this=login.token_hash,
        problem=problem,
        note=note,
    )

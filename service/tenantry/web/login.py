"""Whose session a request has, and that a form was sent from one of our own pages.

A page's form carries `form_token()` in its hidden field `form`, which its view checks first. Every
POST to a page must also come from our own origin, as browsers say in `Sec-Fetch-Site` or `Origin`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException, Unauthorized

from tenantry.core.errors import Forbidden
from tenantry.flows.accounts.logins import LASTS, LoggedIn, find_login
from tenantry.web.context import current_service, is_https
from tenantry.web.cookies import drop_cookie, read_cookie, send_cookie
from tenantry.web.negotiation import prefers_html
from tenantry.web.operations import is_page

__all__ = ["LoggedIn", "check_form", "current_login", "form_token", "require_login"]

HOME = "/account"  # where a login leads
_COOKIE = "tenantry"
_FIELD = "form"
_PURPOSE = "form"
_OWN_PATH = re.compile(r"/(?!/)[!-\[\]-~]*")  # visible ASCII, no backslash; //host is another's


class SeeOther(HTTPException):
    """Sends a browser to another of our own pages."""

    code = 303

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def get_headers(self, *_: object) -> list[tuple[str, str]]:
        return [("Location", self.path)]


def register(app: Flask) -> None:
    """Has every page refuse what comes from elsewhere, and templates know `form_token`."""
    app.before_request(_refuse_other_origins)
    app.jinja_env.globals.update(form_token=form_token)


def current_login() -> LoggedIn | None:
    """The running request's session; None where it has none that lives."""
    if "login" not in g:
        service = current_service()
        token = read_cookie(_COOKIE)
        g.login = find_login(service, token, now=service.now()) if token else None
    login: LoggedIn | None = g.login
    return login


def require_login() -> LoggedIn:
    """The running request's session. Without one a browser is sent to the login page, which leads
    back here; Unauthorized for others.
    """
    login = current_login()
    if login:
        return login
    if not prefers_html():
        raise Unauthorized
    back = request.path if request.method == "GET" else HOME
    raise SeeOther(f"/login?next={quote(back)}")


def own_path(text: object) -> str:
    """`text` where it is a path of ours, and the customer's page where it leads elsewhere."""
    return text if isinstance(text, str) and _OWN_PATH.fullmatch(text) else HOME


def form_token() -> str:
    """What the hidden field `form` of this session's forms holds; empty without a session."""
    login = current_login()
    return current_service().vault.digest(_PURPOSE, login.token_hash) if login else ""


def check_form(fields: Mapping[str, object]) -> None:
    """Forbidden where the form is not one that this session was shown."""
    login, shown = current_login(), fields.get(_FIELD)
    if not login or not isinstance(shown, str) or not shown.isascii():
        raise Forbidden
    if not current_service().vault.recognizes(_PURPOSE, login.token_hash, shown):
        raise Forbidden


def enter_session(answer: Response, token: str) -> None:
    """Hands the session's token to the browser."""
    send_cookie(answer, _COOKIE, token, LASTS)


def leave_session(answer: Response) -> None:
    """Has the browser forget the token."""
    drop_cookie(answer, _COOKIE)


def _refuse_other_origins() -> None:
    view = current_app.view_functions.get(request.endpoint or "")
    if request.method == "POST" and view and is_page(view) and not _is_own_origin():
        raise Forbidden


def _is_own_origin() -> bool:
    """Browsers say so in Sec-Fetch-Site. One that does not (it is old, or we are reached without
    TLS) has Origin, which is `null` for our own pages, too: they are served with no-referrer.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        return site in ("same-origin", "none")
    if origin is None:
        return True
    if origin == "null":
        return not is_https()
    try:
        host = urlsplit(origin).netloc
    except ValueError:  # such as http://[
        return False
    return host in (request.host, urlsplit(current_service().public_url).netloc)

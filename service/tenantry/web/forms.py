"""Addresses that only take forms, opened by themselves: from a bookmark, a browser's history."""

from __future__ import annotations

from flask import current_app, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from tenantry.web.login import HOME, SeeOther
from tenantry.web.negotiation import prefers_html
from tenantry.web.operations import is_page

_ELSEWHERE = {"/api/customers/signup": "/"}  # our other forms are all on the customer's page


def instead_of(error: MethodNotAllowed) -> HTTPException:
    """The way to the page that has the form, for a browser; the error itself for programs."""
    if request.method != "GET" or not prefers_html():
        return error
    if request.path in _ELSEWHERE:
        return SeeOther(_ELSEWHERE[request.path])
    return SeeOther(HOME) if _takes_a_page_form() else error


def _takes_a_page_form() -> bool:
    try:
        endpoint, _ = current_app.url_map.bind("").match(request.path, method="POST")
    except HTTPException:
        return False
    return is_page(current_app.view_functions[endpoint])

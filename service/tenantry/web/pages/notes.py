"""What the customer's page says once, of what was done a moment ago. The browser keeps the name of
the note until the page has said it.
"""

from __future__ import annotations

from datetime import timedelta

from flask import Response

from tenantry.web.cookies import drop_cookie, read_cookie, send_cookie
from tenantry.web.login import HOME
from tenantry.web.pages.answers import go

_COOKIE = "tenantry-done"
_LASTS = timedelta(minutes=1)  # on its way to the page

_NOTES = {
    "cancelled": "Your subscription is cancelled.",
    "kept": "Your subscription goes on.",
    "time-zone": "Your time zone is saved.",
    "sessions": "The session is ended.",
    "password": "Your password is set, and all other sessions are ended.",
}


def go_home(note: str | None = None) -> Response:
    """Sends the browser to the customer's page, which says the note."""
    answer = go(HOME)
    if note:
        send_cookie(answer, _COOKIE, note, _LASTS)
    return answer


def read_note() -> str | None:
    """What is to be said now."""
    return _NOTES.get(read_cookie(_COOKIE) or "")


def said_once(answer: Response) -> Response:
    """The answer, after which the note is not said again."""
    if read_cookie(_COOKIE) is not None:
        drop_cookie(answer, _COOKIE)
    return answer

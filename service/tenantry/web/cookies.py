"""Our cookies: for our own host alone, and out of reach of scripts."""

from __future__ import annotations

from datetime import timedelta

from flask import Response, request

from tenantry.web.context import is_https


def read_cookie(name: str) -> str | None:
    """What the browser keeps by this name."""
    return request.cookies.get(_full(name))


def send_cookie(answer: Response, name: str, value: str, lasts: timedelta) -> None:
    """Has the browser keep the value for so long."""
    answer.set_cookie(
        _full(name),
        value,
        max_age=lasts,
        path="/",
        secure=is_https(),
        httponly=True,
        samesite="Lax",
    )


def drop_cookie(answer: Response, name: str) -> None:
    """Has the browser forget it."""
    send_cookie(answer, name, "", timedelta(0))


def _full(name: str) -> str:
    return f"__Host-{name}" if is_https() else name

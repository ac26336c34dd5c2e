"""Headers that every answer carries: nothing is framed, stored, sniffed or told to others.

The status page's address is a secret of its customer, hence `no-referrer` and `no-store`.
"""

from __future__ import annotations

from flask import Flask, Response, request

from tenantry.web.context import is_https, request_id

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_ALWAYS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_YEAR = 365 * 24 * 3600


def register(app: Flask) -> None:
    app.after_request(_add_headers)


def cache_publicly(response: Response, seconds: int) -> Response:
    """Lets everyone keep an answer that says nothing about anybody."""
    response.cache_control.public = True
    response.cache_control.max_age = seconds
    return response


def _add_headers(response: Response) -> Response:
    response.headers.update(_ALWAYS)
    response.headers["X-Request-Id"] = request_id()
    if is_https():
        response.headers["Strict-Transport-Security"] = f"max-age={_YEAR}"
    if request.endpoint == "static" and response.status_code < 400:
        _cache_static(response)
    elif "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    return response


def _cache_static(response: Response) -> None:
    """A versioned address names its content, so it never changes (see `assets`)."""
    response.headers.pop("Cache-Control", None)
    if "v" in request.args:
        cache_publicly(response, _YEAR).cache_control.immutable = True
    else:
        cache_publicly(response, 300)

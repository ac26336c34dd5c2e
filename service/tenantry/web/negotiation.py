"""What the client wants back: a page or data."""

from __future__ import annotations

from flask import request
from werkzeug.exceptions import NotAcceptable

_DATA = ("application/json", "application/problem+json")


def prefers_html() -> bool:
    """Whether a browser is asking; `*/*` and no preference mean data."""
    accept = request.accept_mimetypes
    return accept["text/html"] > max(accept[kind] for kind in _DATA)


def require_json() -> None:
    """Raises NotAcceptable for a client that would not take JSON."""
    accept = request.accept_mimetypes
    if accept and not any(accept[kind] for kind in _DATA):
        raise NotAcceptable

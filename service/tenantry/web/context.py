"""What a request hangs on: the service it is answered by, and its own id."""

from __future__ import annotations

import uuid

import structlog
from flask import Flask, current_app, g, has_request_context, request

from tenantry.core import public_url
from tenantry.core.addresses import client_network
from tenantry.flows.service import Service

log = structlog.get_logger()

_KEY = "tenantry"
_WARNED = "tenantry_warned_of_proxies"


def bind_service(app: Flask, service: Service) -> None:
    """Makes `service` the one that every request of `app` is answered by."""
    app.extensions[_KEY] = service


def current_service() -> Service:
    """The service of the running request."""
    service: Service = current_app.extensions[_KEY]
    return service


def is_https() -> bool:
    """Whether browsers reach us by TLS."""
    return public_url.is_https(current_service().public_url)


def requesting_network() -> str:
    """Where the running request came from, as far as the proxies in front may be trusted."""
    forwarded, trusted = (
        request.headers.get("X-Forwarded-For", ""),
        current_service().trusted_proxies,
    )
    if forwarded and not trusted:
        _warn_of_proxies()
    return client_network(request.remote_addr or "", forwarded, trusted=trusted)


def _warn_of_proxies() -> None:
    """Once: behind a proxy that is not known of, all customers have one address and one limit."""
    if current_app.extensions.setdefault(_WARNED, first := object()) is first:
        log.warning(
            "proxies.not_trusted",
            detail="X-Forwarded-For is not believed, so limits go by the connection's address",
            remedy="set TENANTRY_TRUSTED_PROXIES to the number of proxies in front",
        )


def start_request() -> None:
    """Gives the request an id of our own (a client's could be forged) and logs under it."""
    g.request_id = str(uuid.uuid4())
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def request_id() -> str:
    """The running request's id, a UUID."""
    return str(g.request_id) if has_request_context() and "request_id" in g else ""

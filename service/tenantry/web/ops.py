"""What machines that run the service ask: alive, ready, how it fares, and the public keys of
licenses.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from ipaddress import ip_address

import structlog
from flask import Blueprint, Response, request
from prometheus_client import CONTENT_TYPE_LATEST
from werkzeug.exceptions import ServiceUnavailable

from tenantry.core.errors import NotFound, SettingsError
from tenantry.flows.licensing.revocations import public_list
from tenantry.flows.telling import tell_now_and_then
from tenantry.web.api.models import Health, KeySet, Metrics, Readiness, RevocationList
from tenantry.web.context import current_service, is_https
from tenantry.web.headers import cache_publicly
from tenantry.web.metrics import write_metrics
from tenantry.web.operations import Operation, operation
from tenantry.web.switches import moved_switches

log = structlog.get_logger()

blueprint = Blueprint("ops", __name__)


@blueprint.get("/healthz")
@operation(Operation(summary="Is the process alive?", tag="Operations", answers={200: Health}))
def show_health() -> Response:
    """Touches nothing but the process itself; for a liveness probe."""
    return Response(Health().model_dump_json(), mimetype="application/json")


@blueprint.get("/readyz")
@operation(
    Operation(
        summary="Can the process do its work?",
        tag="Operations",
        answers={200: Readiness, 503: Readiness},
    )
)
def show_readiness() -> Response:
    """For a readiness probe: 503 with the ids of what is wrong. What operators have switched off
    is named, and keeps nobody from being ready.
    """
    findings = current_service().ready()
    answer = Readiness(
        status="not ready" if findings else "ready",
        findings=findings,
        flags=[] if findings else moved_switches(),  # which the database knows
    )
    status = 503 if findings else 200
    return Response(answer.model_dump_json(), status, mimetype="application/json")


@blueprint.get("/.well-known/jwks.json")
@operation(Operation(summary="Keys that verify licenses", tag="Licenses", answers={200: KeySet}))
def show_keys() -> Response:
    """The current and the next signing key and those that a valid license may still need."""
    keys = KeySet.model_validate(current_service().keyring.jwks())
    # minutes, not days: a new key is published before its first use, and must arrive by then
    return cache_publicly(Response(keys.model_dump_json(), mimetype="application/json"), 300)


@blueprint.get("/.well-known/license-revocations.jwt")
@operation(
    Operation(
        summary="Licenses that were revoked",
        tag="Licenses",
        answers={200: RevocationList},
        problems=(503,),
        media_type="application/jwt",
    )
)
def show_revocations() -> Response:
    """A list of ids, signed as licenses are, of those that have not lapsed by themselves."""
    return cache_publicly(Response(public_list(current_service()), mimetype="application/jwt"), 300)


@blueprint.get("/metrics")
@operation(
    Operation(
        summary="How it fares, in numbers",
        tag="Operations",
        answers={200: Metrics},
        problems=(404, 503),
        media_type="text/plain",
    )
)
def show_metrics() -> Response:
    """For Prometheus: durations of deployments and their outcomes, tenants, mail, Argo CD.

    Needs the token of the setting `metrics_token_file`, as bearer token. Where none is set, only
    who asks from the same machine gets an answer, and nobody where the service is public (https).
    For all others there is nothing here (404).
    """
    if not _is_operator():
        raise NotFound
    return Response(write_metrics(current_service()), content_type=CONTENT_TYPE_LATEST)


def _is_operator() -> bool:
    token = current_service().metrics_token
    if token is None:  # a proxy on this machine may not say that it asks for others
        return not is_https() and _is_local()
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    is_same = hmac.compare_digest(given.strip().encode(), _read(token).encode())
    return scheme.lower() == "bearer" and is_same


def _read(token: Callable[[], str]) -> str:
    try:
        return token()
    except SettingsError as error:
        service = current_service()
        tell_now_and_then(service, "metrics.no_token", log.error, detail=error.message)
        raise ServiceUnavailable from None


def _is_local() -> bool:
    """Whether this machine asks for itself; a proxy on it asks for others."""
    forwarded = ("X-Forwarded-For", "Forwarded", "X-Real-IP")
    if any(name in request.headers for name in forwarded):
        return False
    try:
        return ip_address(request.remote_addr or "").is_loopback
    except ValueError:  # a socket's peer without address
        return False

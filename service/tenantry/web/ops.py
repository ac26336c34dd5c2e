"""What machines that run the service ask: alive, ready, and the public keys of licenses."""

from __future__ import annotations

from flask import Blueprint, Response

from tenantry.web.api.models import Health, KeySet, Readiness
from tenantry.web.context import current_service
from tenantry.web.headers import cache_publicly
from tenantry.web.operations import Operation, operation

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
    """For a readiness probe: 503 with the ids of what is wrong."""
    findings = current_service().ready()
    answer = Readiness(status="not ready" if findings else "ready", findings=findings)
    status = 503 if findings else 200
    return Response(answer.model_dump_json(), status, mimetype="application/json")


@blueprint.get("/.well-known/jwks.json")
@operation(Operation(summary="Keys that verify licenses", tag="Licenses", answers={200: KeySet}))
def show_keys() -> Response:
    """The current and the next signing key and those that a valid license may still need."""
    keys = KeySet.model_validate(current_service().keyring.jwks())
    # minutes, not days: a new key is published before its first use, and must arrive by then
    return cache_publicly(Response(keys.model_dump_json(), mimetype="application/json"), 300)

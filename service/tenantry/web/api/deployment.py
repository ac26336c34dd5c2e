"""GET /api/customers/<customer_id>/deployment: what the status page, and programs, poll."""

from __future__ import annotations

import hashlib

from flask import Blueprint, Response, request

from tenantry.core.errors import NotFound
from tenantry.flows.status import StatusView, read_status
from tenantry.web.api.models import ChangePart, DeploymentAnswer, StepPart
from tenantry.web.context import current_service
from tenantry.web.negotiation import require_json
from tenantry.web.operations import Header, Operation, operation

blueprint = Blueprint("deployment", __name__)

# seconds
POLL_MOVING = 1
POLL_SETTLED = 30


@blueprint.get("/api/customers/<customer_id>/deployment")
@operation(
    Operation(
        summary="Follow a deployment",
        tag="Customers",
        answers={200: DeploymentAnswer, 304: None},
        problems=(404, 406, 503),
        headers={
            "If-None-Match": Header("The ETag of the last answer; 304 while nothing changed.")
        },
        secured=True,
    )
)
def show_deployment(customer_id: str) -> Response:
    """Needs the status token, the last part of `status_url`, as bearer token.

    Without it, or with another customer's, there is nothing here (404), whether or not the customer
    exists. `Retry-After` says in how many seconds asking again is worthwhile.
    """
    require_json()
    view = read_status(current_service(), token=_bearer_token(), customer_id=customer_id)
    body = answer_of(view).model_dump_json()
    answer = Response(body, mimetype="application/json")
    answer.set_etag(hashlib.sha256(body.encode()).hexdigest()[:32])
    answer.headers["Retry-After"] = str(POLL_SETTLED if view.settled else POLL_MOVING)
    answer.make_conditional(request)
    return answer


def _bearer_token() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotFound
    return token.strip()


def answer_of(view: StatusView) -> DeploymentAnswer:
    change = view.change
    return DeploymentAnswer(
        customer_id=view.customer_id,
        company_name=view.company_name,
        plan=view.plan,
        status=view.status,
        reason_code=view.reason_code,
        reason=view.reason,
        unknown_since=view.unknown_since,
        late=view.late,
        flaps=view.flaps,
        change=ChangePart(kind=change.kind, stage=change.stage) if change else None,
        instance_url=view.instance_url,
        commit=view.commit,
        trial_ends_at=view.trial_ends_at,
        time_zone=view.time_zone,
        signed_up_at=view.signed_up_at,
        steps=[StepPart(code=s.code, label=s.label, state=s.state, at=s.at) for s in view.steps],
        updated_at=view.updated_at,
        settled=view.settled,
    )

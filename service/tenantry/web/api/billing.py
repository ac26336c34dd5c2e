"""POST /hooks/billing: the payment provider says what became of a subscription."""

from __future__ import annotations

from flask import Blueprint, Response, request
from werkzeug.exceptions import ServiceUnavailable, Unauthorized

from tenantry.core.billing import PLAIN_HEADER, STRIPE_HEADER
from tenantry.core.errors import NotFound, SettingsError
from tenantry.flows import billing
from tenantry.web.bodies import HOOK_LIMIT, read_body
from tenantry.web.context import current_service
from tenantry.web.operations import Header, Operation, operation

blueprint = Blueprint("billing", __name__)


@blueprint.post("/hooks/billing")
@operation(
    Operation(
        summary="Say that a subscription was paid, changed or cancelled",
        tag="Operations",
        answers={204: None},
        problems=(400, 401, 404, 413, 503),
        headers={
            STRIPE_HEADER: Header("Stripe: `t=` and the time, `v1=` and the signature."),
            PLAIN_HEADER: Header(
                "Otherwise: `sha256=` and the body's HMAC-SHA256.", "^sha256=[0-9a-f]{64}$"
            ),
        },
    )
)
def take_message() -> Response:
    """For a payment provider, whose messages are signed by Stripe's scheme, or plainly by HMAC.

    The plain body is a JSON object: `id`, unique; `type`, one of `paid`, `payment_failed`, `plan`,
    `cancelled` and `resumed`; `created`, when that happened, in unix seconds or ISO 8601;
    `customer_id`; and, where it matters, `plan` and `until`. What is signed is kept, understood or
    not. Messages may come again and in any order. Without a secret in the settings there is nothing
    here (404); after 503, send it again.
    """
    service = current_service()
    if service.billing is None:
        raise NotFound
    body = read_body(HOOK_LIMIT)
    try:
        is_genuine = billing.is_genuine(service, dict(request.headers), body)
    except SettingsError:  # in the log
        raise ServiceUnavailable from None
    if not is_genuine:
        raise Unauthorized
    billing.receive(service, service.billing.scheme, body)
    return Response(status=204)

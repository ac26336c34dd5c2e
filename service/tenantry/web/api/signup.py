"""POST /api/customers/signup: for programs (JSON in and out) and for the signup page's form."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response

from tenantry.core.errors import EmailTaken, TenantryError
from tenantry.core.signup import SignupRequest, parse_signup
from tenantry.flows.signups.signup import Attempt, SignedUp, signup
from tenantry.web import idempotency
from tenantry.web.api.models import (
    CustomerPart,
    DeploymentPart,
    LicensePart,
    SignupAnswer,
    SubscriptionPart,
)
from tenantry.web.bodies import read_fields
from tenantry.web.context import current_service, requesting_network
from tenantry.web.errors import problem_of, say_when
from tenantry.web.negotiation import prefers_html, require_json
from tenantry.web.operations import Header, Operation, operation
from tenantry.web.pages.signup import render_form
from tenantry.web.pages.words import steps_before, tell_duration, tell_signup

blueprint = Blueprint("signup", __name__)


@blueprint.post("/api/customers/signup")
@operation(
    Operation(
        summary="Sign a customer up",
        tag="Customers",
        body=SignupRequest,
        answers={201: SignupAnswer},
        problems=(400, 406, 409, 413, 415, 422, 429, 503),
        headers={idempotency.HEADER: Header(idempotency.DESCRIPTION, idempotency.PATTERN)},
        answer_headers={
            "Location": Header("The customer's live status page, as in `status_url`."),
            idempotency.REPLAYED: Header("`true` where an earlier request was answered this."),
        },
    )
)
def create_customer() -> Response:
    """Creates the account and its trial and starts the deployment; answers at once.

    `status_url` is shown here and never again: keep it. The license can be had from the customer's
    page, too. Send JSON or a form.
    A browser (`Accept: text/html`) is redirected to the status page.

    With an `Idempotency-Key` the request may be repeated: the same fields get the first answer
    again (`Idempotency-Replayed: true`), other fields 422, and 409 while the first is running.
    """
    if prefers_html():
        return _answer_browser()
    require_json()
    key = idempotency.header_key()
    return _answer_program(_sign_up(_parse(read_fields()), key))


def _parse(fields: Mapping[str, object]) -> SignupRequest:
    return parse_signup(fields, rules=current_service().password_rules)


def _sign_up(request: SignupRequest, key: str | None) -> SignedUp:
    service = current_service()
    attempt = Attempt(network=requesting_network(), key=key)
    return signup(service, request, now=service.now(), attempt=attempt)


def _answer_program(done: SignedUp) -> Response:
    url = f"{current_service().public_url}/status/{done.status_token}"
    body = answer_of(done, status_url=url).model_dump_json()
    answer = Response(body, 201, mimetype="application/json", headers={"Location": url})
    if done.is_replay:
        answer.headers[idempotency.REPLAYED] = "true"
    return answer


def _answer_browser() -> Response:
    fields: Mapping[str, object] = {}
    try:
        key = idempotency.header_key()
        fields = read_fields()
        request = _parse(fields)
        key = key or idempotency.page_key(fields, request)
        done = idempotency.wait_for_the_first(lambda: _sign_up(request, key))
    except TenantryError as error:
        return _show_form_again(fields, error)
    # relative: the browser stays on the host that it came by
    return Response(status=303, headers={"Location": f"/status/{done.status_token}"})


def _show_form_again(fields: Mapping[str, object], error: TenantryError) -> Response:
    problem = problem_of(error)
    if problem is None:
        raise error
    if isinstance(error, EmailTaken):
        problem = problem.model_copy(update={"field": "email"})
    form = render_form(fields, problem)
    return say_when(error, Response(form, problem.status, mimetype="text/html"))


def answer_of(done: SignedUp, *, status_url: str) -> SignupAnswer:
    """What R4 promises, and the link that R7 adds."""
    return SignupAnswer(
        message=tell_signup(done.waits_for),
        customer=CustomerPart(
            customer_id=done.customer_id, email=done.email, company_name=done.company_name
        ),
        subscription=SubscriptionPart(
            plan=done.plan, status=done.subscription_status, trial_ends_at=done.trial_ends_at
        ),
        deployment=DeploymentPart(
            estimated_time=tell_duration(done.estimated_time, done.waits_for),
            instance_url=done.instance_url,
            status_url=status_url,
        ),
        license=LicensePart(
            jwt=done.license_token,
            expires_at=done.license_expires_at,
            max_devices=done.max_devices,
        ),
        next_steps=steps_before(done.waits_for) if done.waits_for else list(done.next_steps),
    )

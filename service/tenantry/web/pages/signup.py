"""The signup form (R7); the API's view renders it again when something is to be corrected."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, render_template

from tenantry.core.days import time_zones
from tenantry.flows.accounts.waiting import asked_of_all, stands_before
from tenantry.web.api.models import Problem
from tenantry.web.context import current_service
from tenantry.web.idempotency import FIELD, key_to_show
from tenantry.web.operations import page
from tenantry.web.pages.words import trial_begins, when_set_up
from tenantry.web.switches import are_signups_open

blueprint = Blueprint("signup_page", __name__)

_KEPT = ("email", "company_name", "full_name", "time_zone")  # never the password


@blueprint.get("/")
@page
def show_form() -> str:
    return render_form({})


def render_form(fields: Mapping[str, object], problem: Problem | None = None) -> str:
    """The form with what was typed, but the password, and the problem at its field."""
    service = current_service()
    product = service.product
    return render_template(
        "signup.html",
        values={name: _text(fields.get(name)) for name in _KEPT},
        problem=problem,
        key=(FIELD, key_to_show(fields)),
        zones=time_zones(),
        is_open=are_signups_open(),
        rules=service.password_rules,
        trial=product.trial,
        plan=product.plans[product.trial.plan].title,
        once=when_set_up(stands_before(service)),
        trial_begins=trial_begins(asked_of_all(service)),
    )


def _text(value: object) -> str:
    """A typed value as it may be shown; text that is no text would break the page's encoding."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""

"""The live status page (R45). Whoever has the link sees it; the customer id alone shows nothing.

This is the one place that renders the status: the page's script polls the API, and when that has
news, fetches this page again and takes over what differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Blueprint, Response, render_template

from tenantry.core.model import Status
from tenantry.flows.status import StatusView, Step, read_status
from tenantry.web.context import current_service
from tenantry.web.operations import page
from tenantry.web.pages.words import ANSWERING, WORDS, days_left, plan_title, tell_change

blueprint = Blueprint("status_page", __name__)

# seconds between two looks of a page without JavaScript
_REFRESH_MOVING = 3
_REFRESH_SETTLED = 30


@dataclass(frozen=True)
class Row:
    """A step as shown: how long it took, or since when it is under way."""

    step: Step
    took: timedelta | None
    since: datetime | None


@blueprint.get("/status/<token>")
@page
def show_status(token: str) -> Response:
    service = current_service()
    view = read_status(service, token=token)
    answer = Response(render_status(view, now=service.now()), mimetype="text/html")
    answer.headers["X-Robots-Tag"] = "noindex, nofollow"
    return answer


def render_status(view: StatusView, *, now: datetime) -> str:
    word, tone = WORDS[view.status]
    return render_template(
        "status.html",
        view=view,
        now=now,
        address=view.instance_url.partition("://")[2],
        word=word,
        tone=tone,
        rows=list_rows(view),
        total=total_time(view),
        days_left=days_left(view.trial_ends_at, now),
        is_answering=view.status in ANSWERING,
        plan=plan_title(view.plan),
        tell_change=tell_change,
        refresh=_refresh(view),
    )


def list_rows(view: StatusView) -> list[Row]:
    """The steps with their durations, each counted from the end of the one before it."""
    rows, before = [], view.signed_up_at
    for step in view.steps:
        took = step.at - before if step.at and step.at > before else None
        rows.append(Row(step, took, before if step.state == "active" else None))
        before = step.at or before
    return rows


def total_time(view: StatusView) -> timedelta | None:
    """From signup to the last step; None until all are done."""
    ends = [step.at for step in view.steps if step.at and step.state == "done"]
    return max(ends) - view.signed_up_at if ends and len(ends) == len(view.steps) else None


def _refresh(view: StatusView) -> int | None:
    if view.status == Status.READY:
        return None  # nothing to wait for, and reloading disturbs readers
    return _REFRESH_SETTLED if view.settled else _REFRESH_MOVING

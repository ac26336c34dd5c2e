"""The commands of `tenantry tenants` about what a customer has booked."""

from __future__ import annotations

import json
from datetime import date, datetime

import click

from tenantry.cli.bulk import opened
from tenantry.cli.changes import customer_argument, request
from tenantry.cli.options import json_option
from tenantry.cli.terminal import echo
from tenantry.core.review import ChangeKind
from tenantry.flows.service import Service
from tenantry.flows.subscriptions.decisions import cancel, pay, resume
from tenantry.flows.subscriptions.showing import show_subscription


def _when(text: str) -> date | datetime:
    """A day, or a moment with its offset from UTC; a usage error for anything else."""
    try:
        if len(text) <= len("2026-12-31"):
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(text)
    except ValueError:
        hint = "such as 2026-12-31 or 2026-12-31T18:00:00+01:00"
        raise click.UsageError(f"--until {text}: is no date, {hint}") from None
    if moment.tzinfo is None:
        raise click.UsageError(f"--until {text}: lacks its offset from UTC, such as +01:00")
    return moment


@click.command("plan")
@customer_argument
@click.argument("plan")
@click.option("--paid", is_flag=True, help="It was paid for, so it waits for nobody.")
@click.option(
    "--until",
    metavar="DATE",
    help="Paid for to the end of this day where the customer lives, or to a moment such as "
    "2026-12-31T18:00:00+01:00. [default: until it is cancelled]",
)
@json_option
def plan_command(customer_id: str, plan: str, paid: bool, until: str | None, as_json: bool) -> None:
    """Put a tenant on another plan, with a license of its own.

    With --paid a trial becomes paid, and what was read-only or suspended for that comes back.
    """
    if until and not paid:
        raise click.UsageError("--until says how long it was paid for: use it with --paid")
    if not paid:
        request(ChangeKind.PLAN, "plan", customer_id, plan, as_json=as_json)
        return
    end = _when(until) if until else None
    with opened() as service:
        pay(service, customer_id, plan, end)
        _show(service, customer_id, as_json=as_json)


@click.command("cancel")
@customer_argument
@click.option("--at-once", is_flag=True, help="With today, not with what was paid for.")
@json_option
def cancel_command(customer_id: str, at_once: bool, as_json: bool) -> None:
    """Cancel a subscription. The tenant becomes read-only, then suspended; its data is kept."""
    with opened() as service:
        cancel(service, customer_id, at_once=at_once)
        _show(service, customer_id, as_json=as_json)


@click.command("resume")
@customer_argument
@json_option
def resume_command(customer_id: str, as_json: bool) -> None:
    """Take a cancellation back."""
    with opened() as service:
        resume(service, customer_id)
        _show(service, customer_id, as_json=as_json)


@click.command("subscription")
@customer_argument
@json_option
def subscription_command(customer_id: str, as_json: bool) -> None:
    """Show where a subscription stands, what comes, and what was told of it."""
    with opened() as service:
        _show(service, customer_id, as_json=as_json)


def _show(service: Service, customer_id: str, *, as_json: bool) -> None:
    shown = show_subscription(service, customer_id)
    for line in [json.dumps(shown.as_json())] if as_json else shown.as_lines():
        echo(line)

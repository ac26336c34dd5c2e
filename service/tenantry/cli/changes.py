"""`tenantry changes`: what waits for a review; and the commands that ask for a change to a tenant,
which goes out at once or waits, by the cell's policy (R32).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

import click

from tenantry.cli.bulk import cell_of, choose_cells, opened
from tenantry.cli.listing import list_each
from tenantry.cli.options import cell_option, json_lines_option, json_option
from tenantry.cli.terminal import echo
from tenantry.core.model import State
from tenantry.core.review import ChangeKind, Mode
from tenantry.flows.fleet.bulk import ACTOR
from tenantry.flows.platforms.versions import require_usable
from tenantry.flows.reviewing.changes import Requested, request_change
from tenantry.flows.reviewing.ending import decline
from tenantry.flows.reviewing.listing import list_changes
from tenantry.flows.service import Cell, Service

STATES = (State.ACTIVE, State.READ_ONLY, State.SUSPENDED)

customer_argument = click.argument("customer_id", metavar="CUSTOMER_ID")


@click.group()
def changes() -> None:
    """Changes to tenants: list those that wait for a review, or end them without one."""


@changes.command("list")
@cell_option
@click.option("--all", "everything", is_flag=True, help="Also those that are over.")
@click.option("--customer", "customer_id", metavar="CUSTOMER_ID", help="Only this tenant's.")
@json_lines_option
def list_command(
    cell_name: str | None, everything: bool, customer_id: str | None, as_json: bool
) -> None:
    """List changes that wait for a review, one a line, newest first."""
    with opened() as service:
        found = (
            each
            for cell in choose_cells(service, cell_name)
            for each in list_changes(
                service, cell, open_only=not everything, customer_id=customer_id
            )
        )
        list_each(found, "changes", as_json=as_json)


@changes.command("decline")
@customer_argument
@json_option
def decline_command(customer_id: str, as_json: bool) -> None:
    """End all changes of a tenant that wait for a review. Main stays as it is."""
    with opened() as service:
        ended = decline(service, cell_of(service, customer_id), customer_id, actor=ACTOR)
    if as_json:
        click.echo(json.dumps({"customer_id": customer_id, "declined": ended}))
    else:
        echo(f"{customer_id}: {ended} declined")


@click.command()
@customer_argument
@click.argument("state", type=click.Choice([state.value for state in STATES]))
@json_option
def state(customer_id: str, state: str, as_json: bool) -> None:
    """Suspend a tenant, let nobody write to it, or have it active again."""
    request(ChangeKind.STATE, "state", customer_id, state, as_json=as_json)


@click.command()
@customer_argument
@click.argument("version")
@json_option
def platform(customer_id: str, version: str, as_json: bool) -> None:
    """Have a tenant run another platform version."""

    def check(service: Service, cell: Cell) -> None:
        require_usable(service, cell, version)

    request(ChangeKind.PLATFORM, "platform", customer_id, version, check=check, as_json=as_json)


@click.command()
@customer_argument
@json_option
def renew(customer_id: str, as_json: bool) -> None:
    """Issue a tenant's license anew, for the plan and the time that it has."""
    with opened() as service:
        cell = cell_of(service, customer_id)
        done = request_change(service, cell, customer_id, ChangeKind.LICENSE, {}, actor=ACTOR)
    _tell(done, "the license", as_json=as_json)


def request(
    kind: ChangeKind,
    field: str,
    customer_id: str,
    value: str,
    *,
    check: Callable[[Service, Cell], None] | None = None,
    as_json: bool,
) -> None:
    """Have a field of a tenant changed, and say what became of that."""
    with opened() as service:
        cell = cell_of(service, customer_id)
        if check:
            check(service, cell)
        done = request_change(service, cell, customer_id, kind, {field: value}, actor=ACTOR)
    _tell(done, f"{field} {value}", as_json=as_json)


def _tell(done: Requested, what: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(done)))
    else:
        echo(f"{done.customer_id}: {what} {_what_comes_next(done)}")


def _what_comes_next(done: Requested) -> str:
    if done.mode == Mode.REVIEW:
        return f"waits for a review; look at it with `tenantry diff {done.customer_id}`"
    if not done.generation:
        return f"waits with its signup; look at it with `tenantry diff {done.customer_id}`"
    return (
        f"goes out at once, as generation {done.generation}; until main shows it, `tenantry "
        "tenants list --behind` does"
    )

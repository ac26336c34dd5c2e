"""`tenantry customers`: people rather than what runs for them."""

from __future__ import annotations

import json
import sys

import click

from tenantry.cli.bulk import opened
from tenantry.cli.erase import erase_command
from tenantry.cli.listing import list_each
from tenantry.cli.options import json_lines_option, json_option
from tenantry.cli.terminal import echo
from tenantry.core.errors import ChangeRefused, NotFound
from tenantry.flows.accounts import releasing
from tenantry.flows.accounts.listing import list_accounts
from tenantry.flows.fleet.bulk import ACTOR
from tenantry.flows.service import Service


@click.group()
def customers() -> None:
    """Customers: approve those who wait, correct, erase."""


customers.add_command(erase_command)


@customers.command("list")
@click.option(
    "--waiting", is_flag=True, help="Only those who wait for a confirmation or an approval."
)
@json_lines_option
def list_command(waiting: bool, as_json: bool) -> None:
    """List customers, one a line, the oldest first: id, when and as whom they signed up, and the
    reason code of what they wait for.
    """
    with opened() as service:
        list_each(list_accounts(service, waiting=waiting), "customers", as_json=as_json)


@customers.command()
@click.argument("customer_ids", nargs=-1, required=True, metavar="CUSTOMER_ID...")
@json_lines_option
def approve(customer_ids: tuple[str, ...], as_json: bool) -> None:
    """Approve customers who wait, or were declined: their instances are set up, once their
    addresses are confirmed where that is asked, too.
    """
    with opened() as service:
        approved = [_approve(service, each, as_json=as_json) for each in customer_ids]
    if not all(approved):
        sys.exit(1)


@customers.command()
@click.argument("customer_id", metavar="CUSTOMER_ID")
@json_option
def decline(customer_id: str, as_json: bool) -> None:
    """Decline a customer who waits, who is told by mail. Nothing of theirs was published."""
    with opened() as service:
        releasing.decline(service, customer_id, actor=ACTOR)
    told = json.dumps({"customer_id": customer_id, "declined": True})
    echo(told if as_json else f"{customer_id}: declined")


def _approve(service: Service, customer_id: str, *, as_json: bool) -> bool:
    """Whether that could be done; one who does not wait keeps no others waiting."""
    try:
        is_released = releasing.approve(service, customer_id, actor=ACTOR)
    except (ChangeRefused, NotFound) as error:
        echo(str(error), err=True)
        return False
    rest = "is set up now" if is_released else "waits for the customer's confirmation"
    told = json.dumps({"customer_id": customer_id, "approved": True, "set_up": is_released})
    echo(told if as_json else f"{customer_id}: approved, {rest}")
    return True

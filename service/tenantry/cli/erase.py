"""`tenantry customers erase`: what is personal of a customer goes."""

from __future__ import annotations

import json

import click

from tenantry.cli.bulk import opened
from tenantry.cli.options import json_option
from tenantry.cli.terminal import echo, printable
from tenantry.flows.erasing import erase, require_erasable
from tenantry.flows.service import Service

ACTOR = "operator"


@click.command("erase")
@click.argument("customer_id", metavar="CUSTOMER_ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def erase_command(customer_id: str, yes: bool, as_json: bool) -> None:
    """Empty what is personal of a customer whose instance is suspended; nothing brings it back.

    Ids and dates stay. The company's name leaves the tenant's folder with the next commit, and
    stays in the history of Git. The instance keeps its data.
    """
    with opened() as service:
        if not yes:
            click.confirm(_question(service, customer_id), abort=True, err=True)
        erase(service, customer_id, actor=ACTOR)
    if as_json:
        echo(json.dumps({"customer_id": customer_id, "erased": True}))
    else:
        echo(f"{customer_id} is erased; a worker takes the company's name from its folder")


def _question(service: Service, customer_id: str) -> str:
    who = require_erasable(service, customer_id)
    named = printable(f"{who.company_name}, {who.email}")
    return f"Erase all that is personal of {customer_id} ({named})? Nothing brings it back."

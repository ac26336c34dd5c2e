"""`tenantry license revoke`: a license that nobody may run with any longer (R13)."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from tenantry.cli.bulk import opened
from tenantry.cli.options import json_option
from tenantry.cli.terminal import echo
from tenantry.flows.fleet.bulk import ACTOR
from tenantry.flows.licensing.revoking import Revocable, find_revocable
from tenantry.flows.licensing.revoking import revoke as revoke_licenses


@click.command()
@click.argument("license_id", required=False)
@click.option("--customer", "customer_id", metavar="ID", help="All that this customer has.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@json_option
def revoke(license_id: str | None, customer_id: str | None, yes: bool, as_json: bool) -> None:
    """Revoke a license, by its id (the claim `jti`), or all of a customer's.

    The public list names it at once, and the tenant's own as soon as main shows the change. It
    cannot be taken back: only another license can be issued.
    """
    if (license_id is None) == (customer_id is None):
        raise click.UsageError("name a license, or a customer with --customer")
    with opened() as service:
        found = find_revocable(service, license_id=license_id, customer_id=customer_id)
        echo(_warning(found), err=True)
        if not yes:
            click.confirm("Revoke?", abort=True, err=True)
        revoke_licenses(service, found, actor=ACTOR)
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        echo(f"{found.customer_id}: revoked {', '.join(found.license_ids)}")


def _warning(found: Revocable) -> str:
    ids = ", ".join(found.license_ids)
    if not found.stops_instance:
        return f"{found.customer_id}: {ids}; the instance runs with another license"
    return (
        f"{found.customer_id}: {ids}; the instance runs with it, and will refuse to work. "
        f"`tenantry tenants renew {found.customer_id}` gives it another one"
    )

"""`tenantry synthetic`: the whole way, tried with a tenant that is no customer's."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from tenantry.cli.bulk import opened
from tenantry.cli.options import json_option
from tenantry.cli.terminal import echo
from tenantry.flows.synthetic import Tried, try_whole_way

_LICENSE = {True: "license right", False: "license WRONG", None: "license not checked"}


@click.command()
@click.option(
    "--within",
    type=click.FloatRange(min=1),
    default=600.0,
    show_default=True,
    help="Seconds until it has to be ready.",
)
@json_option
def synthetic(within: float, as_json: bool) -> None:
    """Sign a marked tenant up, wait until it is ready, check its license, and suspend it.

    For a cron job, beside a running worker: exit code 0 where all is well, 1 otherwise.
    """
    with opened() as service:
        tried = try_whole_way(service, within=within)
    echo(json.dumps({**asdict(tried), "good": tried.is_good}) if as_json else _line(tried))
    if not tried.is_good:
        raise click.exceptions.Exit(1)


def _line(tried: Tried) -> str:
    what = f"{tried.status} ({tried.reason_code}) after {tried.seconds:.1f} s"
    return f"{tried.customer_id}: {what}, {_LICENSE[tried.license_right]}"

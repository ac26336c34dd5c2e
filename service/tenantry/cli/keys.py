"""`tenantry keys`: the keys that sign licenses: what hangs on each, and the change to another one
(R12).
"""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.table import Table

from tenantry.cli.bulk import Run, opened, wait_option
from tenantry.cli.options import json_option
from tenantry.cli.terminal import echo
from tenantry.flows.fleet import bulk
from tenantry.flows.fleet.bulk import Selection
from tenantry.flows.licensing import rotation
from tenantry.flows.licensing.census import Census, take_census
from tenantry.flows.licensing.rotation import Step
from tenantry.flows.service import Cell, Service

GO_ON = "to go on: the same command"
DOES = {
    Step.PUBLISH: "makes the next key, and gives all tenants its public half",
    Step.USE: "signs with the next key, and issues the licenses that run anew",
    Step.RETIRE: "forgets earlier keys whose last license has lapsed, and has all tenants do so",
}


@click.group()
def keys() -> None:
    """The keys that sign licenses: what hangs on each, and the change to another one."""


@keys.command("status")
@json_option
def status_command(as_json: bool) -> None:
    """Show the keys, how many licenses and tenants hang on each, and which step comes next."""
    with opened() as service:
        census = take_census(service)
    step = rotation.due_step(census)
    if as_json:
        click.echo(json.dumps({**census.as_json(), "due": step}))
        return
    _print_keys(census)
    echo(f"{census.lacking} of {census.tenants} tenants do not have these public keys on main")
    echo(f"next: `tenantry keys rotate` {DOES[step]}" if step else _wait_for(census))


def _print_keys(census: Census) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("key", "is", "published", "licenses", "tenants", "needed until"):
        table.add_column(title, overflow="fold")
    for each in census.keys:
        until = f"{each.needed_until:%Y-%m-%d}" if each.needed_until else "-"
        published = "yes" if each.is_published else "no"
        counts = (str(each.licenses), str(each.tenants))
        table.add_row(each.kid, each.role, published, *counts, until)
    Console(soft_wrap=True).print(table)


def _wait_for(census: Census) -> str:
    dates = [each.needed_until for each in census.of("earlier") if each.needed_until]
    return f"next: nothing before {min(dates):%Y-%m-%d}, when the earlier key is needed no more"


@keys.command()
@click.option(
    "--step", type=click.Choice([step.value for step in Step]), help="This step, not the due one."
)
@click.option("--yes", is_flag=True, help="Do it without asking.")
@click.option("--force", is_flag=True, help="Use the next key though not all tenants have it.")
@json_option
@wait_option
def rotate(step: str | None, yes: bool, force: bool, as_json: bool, no_wait: bool) -> None:
    """Take the next step on the way to another signing key, and say first which.

    publish: the next key is made, and all tenants get its public half. use: it signs, and the
    licenses that run are issued anew. retire: the earlier key is forgotten, once its last license
    has lapsed. What was stopped goes on with the same command.
    """
    with opened() as service:
        census = take_census(service)
        chosen = Step(step) if step else rotation.due_step(census)
        if chosen is None:
            echo(_wait_for(census))
            return
        rotation.require_possible(chosen, census, force=force)
        echo(f"{chosen}: {DOES[chosen]}", err=True)
        if not yes:
            click.confirm("Go on?", abort=True, err=True)
        _change_files(service, chosen, census)
        _change_tenants(service, chosen, as_json=as_json, no_wait=no_wait)


def _change_files(service: Service, step: Step, census: Census) -> None:
    """Exit code 1, and what to type, where a person has to change them."""
    if not rotation.needs_files(step, census):
        return
    folder = service.key_folder
    if folder.is_writable:
        rotation.change_files(service, step, census)
        return
    place = f"{folder.path} cannot be written here"
    echo(f"tenantry: {place}: change what is mounted there, by", err=True)
    for command in rotation.file_commands(step, census):
        echo(f"  {command}", err=True)
    echo("and run the same command again.", err=True)
    raise click.exceptions.Exit(1)


def _change_tenants(service: Service, step: Step, *, as_json: bool, no_wait: bool) -> None:
    run = Run(service, as_json=as_json)
    marked: list[tuple[Cell, dict[str, int]]] = []
    with run.stopped_by_interrupt(lambda: GO_ON):
        for cell in service.cells.values():
            total = bulk.count(service, cell, Selection())
            marked.append((cell, run.mark(cell, step, total, rotation.mark(service, step, cell))))
    with run.stopped_by_interrupt():
        for cell, generations in marked:
            run.follow(cell, generations, no_wait=no_wait)
    run.end()

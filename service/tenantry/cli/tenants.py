"""`tenantry tenants`: list them, and change many at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from tenantry.adapters.customer_list import count_lines, read_customers
from tenantry.cli.bulk import (
    Run,
    cell_option,
    choose_cells,
    ids_argument,
    json_option,
    opened,
    wait_option,
)
from tenantry.cli.progress import bar, stoppable
from tenantry.core.model import Status
from tenantry.flows import bulk, fleet
from tenantry.flows.bulk import Marked, Selection
from tenantry.flows.importing import import_lines
from tenantry.flows.rerender import mark_for_rendering
from tenantry.flows.reseal import mark_for_resealing
from tenantry.flows.service import Cell, Service

after_option = click.option(
    "--after",
    metavar="CUSTOMER_ID",
    default="",
    help="With --all: go on behind this one, as Ctrl-C told it.",
)


@click.group()
def tenants() -> None:
    """The tenants: list them, or change many at once.

    Each change is stored as it is made, so Ctrl-C loses nothing: run the command again.
    """


@tenants.command("list")
@cell_option
@click.option("--state", type=click.Choice([status.value for status in Status]), help="Only these.")
@click.option("--set-aside", is_flag=True, help="Only those that the publisher set aside.")
@click.option("--behind", is_flag=True, help="Only those that main does not show yet.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def list_command(
    cell_name: str | None, state: str | None, set_aside: bool, behind: bool, as_json: bool
) -> None:
    """List tenants, one a line, by customer id."""
    with opened() as service:
        for cell in choose_cells(service, cell_name):
            found = fleet.list_tenants(
                service, cell, status=state, set_aside=set_aside, behind=behind
            )
            for each in found:
                click.echo(json.dumps(each.as_json()) if as_json else each.as_text())


@tenants.command()
@click.argument("customer_ids", nargs=-1, required=True, metavar="CUSTOMER_ID...")
@json_option
@wait_option
def retry(customer_ids: tuple[str, ...], as_json: bool, no_wait: bool) -> None:
    """Let the publisher try tenants again that it set aside or that failed."""
    mark = fleet.mark_to_retry
    _change_many("taking back", mark, None, customer_ids, as_json=as_json, no_wait=no_wait)


@tenants.command()
@ids_argument
@cell_option
@click.option("--all", "everything", is_flag=True, help="Seal every value anew.")
@after_option
@json_option
@wait_option
def reseal(
    customer_ids: tuple[str, ...],
    cell_name: str | None,
    everything: bool,
    after: str,
    as_json: bool,
    no_wait: bool,
) -> None:
    """Seal again, with the cell's current certificate, what was sealed with another one.

    No password changes: the values stay what they are. Names all tenants, or only these.
    """

    def mark(service: Service, cell: Cell, selection: Selection) -> Iterator[Marked]:
        return mark_for_resealing(service, cell, selection, everything=everything)

    _change_many(
        "resealing", mark, cell_name, customer_ids, after, as_json=as_json, no_wait=no_wait
    )


@tenants.command()
@ids_argument
@cell_option
@click.option("--all", "everything", is_flag=True, help="Publish all, without comparing first.")
@after_option
@json_option
@wait_option
def rerender(
    customer_ids: tuple[str, ...],
    cell_name: str | None,
    everything: bool,
    after: str,
    as_json: bool,
    no_wait: bool,
) -> None:
    """Publish again the tenants that templates or product now render to other bytes.

    With --all, too, what renders the same makes no commit.
    """

    def mark(service: Service, cell: Cell, selection: Selection) -> Iterator[Marked]:
        return mark_for_rendering(service, cell, selection, everything=everything)

    _change_many(
        "rendering", mark, cell_name, customer_ids, after, as_json=as_json, no_wait=no_wait
    )


def _change_many(
    title: str,
    mark: Callable[[Service, Cell, Selection], Iterator[Marked]],
    cell_name: str | None,
    customer_ids: tuple[str, ...],
    after: str = "",
    *,
    as_json: bool,
    no_wait: bool,
) -> None:
    with opened() as service:
        cells = choose_cells(service, cell_name)
        if after and len(cells) > 1:
            raise click.UsageError("--after goes with --cell: each cell has its own order")
        run = Run(service, as_json=as_json)
        named = run.require_known(cells, customer_ids).named
        selection = Selection(named, after)
        for cell in cells:
            total = bulk.count(service, cell, selection)
            advice = f"to go on: the same command, with --cell {cell.name}"
            with run.stopped_by_interrupt(advice):
                generations = run.mark(title, total, mark(service, cell, selection))
            with run.stopped_by_interrupt():
                run.follow(cell, generations, no_wait=no_wait)
        run.end()


@tenants.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--send-welcome",
    is_flag=True,
    help="Send each the welcome mail. Off by default: a try with a wrong file would write to "
    "thousands of people, and no mail can be taken back.",
)
@json_option
@wait_option
def import_command(file: Path, send_welcome: bool, as_json: bool, no_wait: bool) -> None:
    """Make a customer of each line of FILE, with all that a signup makes.

    FILE is CSV with a header, or JSON lines: email and company_name, and, where known, full_name,
    time_zone and password_hash (argon2id; without one, no password opens the account). Plain
    passwords are refused. A known e-mail is left as it is, so the same file can be run again.
    """
    with opened() as service:
        run = ImportRun(service, as_json=as_json)
        with run.stopped_by_interrupt("to go on: the same command; who is there is left as it is"):
            generations = run.take(file, welcome=send_welcome)
        with run.stopped_by_interrupt():
            run.follow(service.new_tenants_cell, generations, no_wait=no_wait)
        run.end()


class ImportRun(Run):
    """The counts of an import."""

    def __init__(self, service: Service, *, as_json: bool) -> None:
        super().__init__(service, as_json=as_json)
        self.counts["already_there"] = 0

    def take(self, file: Path, *, welcome: bool) -> dict[str, int]:
        """Go through the file; the new tenants' generations, by customer id."""
        generations: dict[str, int] = {}
        lines = read_customers(file)
        with bar("importing", count_lines(file)) as shown:
            for page in stoppable(import_lines(self.service, lines, welcome=welcome)):
                generations |= page.generations
                self.count(
                    looked_at=page.looked_at, marked=len(page.generations), already_there=page.known
                )
                for number, reason in page.failed.items():
                    self.fail(f"{file}:{number}: {reason}", shown.tell)
                shown.advance(page.looked_at)
        return generations

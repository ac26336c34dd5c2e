"""`tenantry tenants`: list them, change one, or many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from tenantry.adapters.customer_list import count_lines, read_customers
from tenantry.cli import changes, subscriptions
from tenantry.cli.bulk import Run, choose_cells, ids_argument, opened, wait_option
from tenantry.cli.listing import list_each
from tenantry.cli.options import cell_option, json_lines_option, json_option
from tenantry.cli.progress import bar, stoppable
from tenantry.core.model import Status
from tenantry.core.subscription import Stage
from tenantry.flows.fleet import bulk
from tenantry.flows.fleet import tenants as fleet
from tenantry.flows.fleet.bulk import Marked, Selection
from tenantry.flows.fleet.importing import import_lines
from tenantry.flows.fleet.rerender import mark_for_rendering
from tenantry.flows.fleet.reseal import mark_for_resealing
from tenantry.flows.service import Cell, Service

GO_ON = "to go on: the same command"

after_option = click.option(
    "--after",
    metavar="CUSTOMER_ID",
    default="",
    help="Go on behind this one, as Ctrl-C told it.",
)
status_option = click.option(
    "--status", type=click.Choice([status.value for status in Status]), help="Only these."
)
stage_option = click.option(
    "--stage",
    type=click.Choice([stage.value for stage in Stage]),
    help="Only those whose subscription stands there.",
)


@click.group()
def tenants() -> None:
    """The tenants: list them, change one, or many at once.

    Each change is stored as it is made, so Ctrl-C loses nothing: run the command again.
    """


for command in (
    changes.state, changes.platform, changes.renew, subscriptions.plan_command,
    subscriptions.cancel_command, subscriptions.resume_command, subscriptions.subscription_command,
):  # fmt: skip
    tenants.add_command(command)


@tenants.command("list")
@cell_option
@status_option
@stage_option
@click.option("--set-aside", is_flag=True, help="Only those that the publisher set aside.")
@click.option("--behind", is_flag=True, help="Only those that main does not show yet.")
@json_lines_option
def list_command(cell_name: str | None, as_json: bool, **wanted: Any) -> None:
    """List tenants, one a line, by customer id."""
    with opened() as service:
        found = (
            each
            for cell in choose_cells(service, cell_name)
            for each in fleet.list_tenants(service, cell, **wanted)
        )
        list_each(found, "tenants", as_json=as_json)


@tenants.command()
@click.argument("customer_ids", nargs=-1, required=True, metavar="CUSTOMER_ID...")
@json_option
@wait_option
def retry(**chosen: Any) -> None:
    """Let the publisher try tenants again that it set aside or that failed."""
    _change_many("taking back", fleet.mark_to_retry, **chosen)


@tenants.command()
@ids_argument
@cell_option
@click.option("--all", "everything", is_flag=True, help="Seal every value anew.")
@after_option
@json_option
@wait_option
def reseal(everything: bool, **chosen: Any) -> None:
    """Seal again, with the cell's current certificate, what was sealed with another one.

    No password changes: the values stay what they are. Goes through all tenants, or only these.
    """
    mark = partial(mark_for_resealing, everything=everything)
    _change_many("resealing", mark, everything=everything, **chosen)


@tenants.command()
@ids_argument
@cell_option
@click.option("--all", "everything", is_flag=True, help="Publish all, without comparing first.")
@after_option
@json_option
@wait_option
def rerender(everything: bool, **chosen: Any) -> None:
    """Publish again the tenants that templates or product now render to other bytes.

    With --all, too, what renders the same makes no commit. Goes through all tenants, or only these.
    """
    mark = partial(mark_for_rendering, everything=everything)
    _change_many("rendering", mark, everything=everything, **chosen)


def _change_many(
    title: str,
    mark: Callable[[Service, Cell, Selection], Iterator[Marked]],
    *,
    customer_ids: tuple[str, ...],
    cell_name: str | None = None,
    everything: bool = False,
    after: str = "",
    as_json: bool,
    no_wait: bool,
) -> None:
    """Mark all that is chosen, cell by cell, and then publish it. Only with `everything` would the
    same command mark again what it marked already.
    """
    with opened() as service:
        run = Run(service, as_json=as_json)
        cells = choose_cells(service, cell_name)
        named = run.require_known(cells, customer_ids)
        marked: list[tuple[Cell, dict[str, int]]] = []

        def advice() -> str:
            return f"{GO_ON} with --after {run.last}" if everything and run.last else GO_ON

        with run.stopped_by_interrupt(advice):
            for number, cell in enumerate(_cells_from(service, cells, after)):
                selection = Selection(named, after if number == 0 else "")
                total = bulk.count(service, cell, selection)
                pages = mark(service, cell, selection)
                marked.append((cell, run.mark(cell, title, total, pages)))
        with run.stopped_by_interrupt():
            for cell, generations in marked:
                run.follow(cell, generations, no_wait=no_wait)
        run.end()


def _cells_from(service: Service, cells: Sequence[Cell], after: str) -> Sequence[Cell]:
    """The cells that are left to go through behind a customer's tenant, its own first."""
    if not after:
        return cells
    for number, cell in enumerate(cells):
        if not bulk.unknown(service, [cell], [after]):
            return cells[number:]
    raise click.UsageError(f"--after {after}: there is no such tenant")


@tenants.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--send-mail",
    is_flag=True,
    help="Write to each: the welcome mail, and later that its instance is ready. Off by default: a "
    "try with a wrong file would write to thousands of people, and no mail can be taken back.",
)
@json_option
@wait_option
def import_command(file: Path, send_mail: bool, as_json: bool, no_wait: bool) -> None:
    """Make a customer of each line of FILE, with all that a signup makes.

    FILE is CSV with a header, or JSON lines: email and company_name, and, where known, full_name,
    time_zone and password_hash (argon2id; without one, no password opens the account). Plain
    passwords are refused. A known e-mail is left as it is, so the same file can be run again.
    """
    with opened() as service:
        run = ImportRun(service, as_json=as_json)
        with run.stopped_by_interrupt(lambda: f"{GO_ON}; who is there is left as it is"):
            generations = run.take(file, send_mail=send_mail)
        with run.stopped_by_interrupt():
            run.follow(service.new_tenants_cell, generations, no_wait=no_wait)
        run.end()


class ImportRun(Run):
    """The counts of an import."""

    def __init__(self, service: Service, *, as_json: bool) -> None:
        super().__init__(service, as_json=as_json)
        self.counts["already_there"] = 0

    def take(self, file: Path, *, send_mail: bool) -> dict[str, int]:
        """Go through the file; the new tenants' generations, by customer id."""
        generations: dict[str, int] = {}
        lines = read_customers(file)
        with bar("importing", count_lines(file)) as shown:
            for page in stoppable(import_lines(self.service, lines, send_mail=send_mail)):
                generations |= page.generations
                self.count(
                    looked_at=page.looked_at, marked=len(page.generations), already_there=page.known
                )
                for number, reason in page.failed.items():
                    self.fail(f"{file}:{number}: {reason}", shown.tell)
                shown.advance(page.looked_at)
        return generations

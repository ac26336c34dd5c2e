"""`tenantry repo`: the tenants repository, beside the database that it must agree with."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence

import click

from tenantry.cli.bulk import Run, choose_cells, opened, wait_option
from tenantry.cli.options import cell_option, json_option
from tenantry.cli.progress import bar, stoppable
from tenantry.cli.terminal import echo
from tenantry.core.errors import TenantryError
from tenantry.flows.auditing import repository
from tenantry.flows.auditing.adopting import adopt as adopt_edit
from tenantry.flows.auditing.audit import Report
from tenantry.flows.auditing.audit import audit as audit_cell
from tenantry.flows.auditing.repair import Kinds
from tenantry.flows.auditing.repair import repair as repair_cell
from tenantry.flows.auditing.repository import Heads
from tenantry.flows.fleet import bulk
from tenantry.flows.fleet.bulk import ACTOR, Selection
from tenantry.flows.publishing.shards import follow_main
from tenantry.flows.service import Cell, Service


@click.group()
def repo() -> None:
    """The tenants repository: how it fares, and whether it agrees with the database."""


@repo.command()
@cell_option
@click.option("--full", is_flag=True, help="Render each tenant, too, and compare the bytes.")
@click.option("--repair", is_flag=True, help="Mend what can be mended without harm.")
@click.option(
    "--overwrite",
    "overwrite",
    multiple=True,
    metavar="CUSTOMER_ID",
    help="With --repair: overwrite what somebody edited, reverted or removed of this tenant.",
)
@json_option
@wait_option
def audit(
    cell_name: str | None,
    full: bool,
    repair: bool,
    overwrite: tuple[str, ...],
    as_json: bool,
    no_wait: bool,
) -> None:
    """Compare database and main: what is missing, unknown, edited, outdated or not sealed.

    Exits with 0 when nothing is wrong (with --repair: when nothing is left, and all of it went
    well), else with 1 and one line for each finding. Nothing that nobody knows is ever deleted.
    """
    if overwrite and not repair:
        raise click.UsageError("--overwrite goes with --repair")
    with opened() as service:
        cells = choose_cells(service, cell_name)
        if missing := bulk.unknown(service, cells, overwrite):
            raise click.UsageError(f"--overwrite {missing[0]}: there is no such tenant")
        run = AuditRun(service, as_json=as_json, full=full)
        with run.stopped_by_interrupt(lambda: "to go on: the same command"):
            for cell in cells:
                with run.going_on(cell):
                    run.look(cell, frozenset(overwrite) if repair else None, no_wait=no_wait)
        run.end()


class AuditRun(Run):
    """One audit of some cells, and what it mends."""

    def __init__(self, service: Service, *, as_json: bool, full: bool) -> None:
        super().__init__(service, as_json=as_json)
        self.full = full
        self.is_anything_wrong = False
        self.cells: list[Mapping[str, object]] = []  # what was found, for programs

    def look(self, cell: Cell, overwrite: frozenset[str] | None, *, no_wait: bool) -> None:
        """Compare, tell; with `overwrite` (customer ids) also mend, and compare again."""
        if overwrite is not None:
            follow_main(self.service, cell)
        report = self._audit(cell)
        repaired: Kinds = {}
        if overwrite is not None and report.findings:
            if not self.as_json:
                _echo_findings(report)
            repaired, generations = self._repair(report, overwrite)
            self.follow(cell, generations, no_wait=no_wait)
            report = self._audit(cell, again=True)
            if not self.as_json:
                echo(f"{len(repaired)} tenants marked for repair; what is left:")
        self.is_anything_wrong |= bool(report.findings)
        self.cells.append(_as_json(report, repaired))
        if not self.as_json:
            _echo_report(report)

    def end(self) -> None:
        """Sum up; exit code 1 where anything is wrong, failed, or is still on its way."""
        if self.as_json:
            click.echo(json.dumps({"cells": self.cells, **self.counts}))
        elif self.counts["marked"]:
            click.echo(self.summary())
        if self.is_anything_wrong or self.counts["failed"] or self.counts["waiting"]:
            raise click.exceptions.Exit(1)

    def _audit(self, cell: Cell, *, again: bool = False) -> Report:
        total = bulk.count(self.service, cell, Selection())
        with bar(f"comparing {cell.name}{' again' if again else ''}", total) as shown:

            def advance(tenants: int) -> None:
                shown.advance(tenants)
                self.count(looked_at=0 if again else tenants)

            return audit_cell(self.service, cell, full=self.full, progress=advance)

    def _repair(self, report: Report, overwrite: frozenset[str]) -> tuple[Kinds, dict[str, int]]:
        kinds: dict[str, Sequence[str]] = {}
        generations: dict[str, int] = {}
        for page in stoppable(repair_cell(self.service, report, overwrite)):
            kinds |= page.kinds
            generations |= page.generations
            self.count(marked=len(page.generations))
        return kinds, generations


def _echo_findings(report: Report) -> None:
    for finding in report.findings:
        echo(finding.as_text())


def _echo_report(report: Report) -> None:
    _echo_findings(report)
    counts = Counter(finding.kind.value for finding in report.findings)
    found = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
    echo(
        f"cell {report.cell}: {report.tenants} tenants, {report.waiting} about to be published: "
        f"{found or 'nothing wrong'}"
    )


def _as_json(report: Report, repaired: Kinds) -> Mapping[str, object]:
    return {
        "cell": report.cell,
        "head": report.head,
        "tenants": report.tenants,
        "about_to_be_published": report.waiting,
        "findings": [finding.as_json() for finding in report.findings],
        "marked": [
            {"customer_id": customer_id, "findings": list(kinds)}
            for customer_id, kinds in repaired.items()
        ],
    }


@repo.command()
@cell_option
@json_option
def status(cell_name: str | None, as_json: bool) -> None:
    """Show how publishing fares: head, tenants behind, failures, who is at it."""
    with opened() as service:
        cells = choose_cells(service, cell_name)
        found = [dataclasses.asdict(repository.read_status(service, cell)) for cell in cells]
    if as_json:
        click.echo(json.dumps({"cells": found}, default=str))
        return
    for name, value in (pair for each in found for pair in each.items()):
        echo(f"{name.replace('_', ' '):14}{_show(value)}")


@repo.command()
@click.argument("customer_ids", nargs=-1, required=True, metavar="CUSTOMER_ID...")
def adopt(customer_ids: tuple[str, ...]) -> None:
    """Keep what somebody edited in these tenants' folders on main, from now on.

    Every later publication leaves it as it is, and is refused where it would have to change it.
    `tenantry repo audit --repair --overwrite` drops it again.
    """
    with opened() as service:
        if missing := bulk.unknown(service, choose_cells(service, None), customer_ids):
            raise click.UsageError(f"{missing[0]}: there is no such tenant")
        for customer_id in customer_ids:
            files = adopt_edit(service, customer_id, actor=ACTOR)
            echo(f"{customer_id}: adopted {', '.join(files)}")


@repo.command("accept-history")
@cell_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def accept_history(cell_name: str | None, yes: bool) -> None:
    """Publish again to a main whose history was rewritten, or that was set back.

    What its history lost is then found by `tenantry repo audit`, which can bring it back.
    """
    with opened() as service:
        for cell in choose_cells(service, cell_name):
            heads = repository.read_heads(service, cell)
            if not heads.is_halted and not heads.is_rewritten:
                click.echo(f"cell {cell.name}: its history is the one that was published to")
                continue
            _accept(service, cell, heads, yes=yes)


def _accept(service: Service, cell: Cell, heads: Heads, *, yes: bool) -> None:
    click.echo(f"cell {cell.name}: main was at {heads.known or 'nothing'}")
    click.echo(f"{'':{len(cell.name) + 7}}main is at  {heads.now or 'nothing'}")
    if not yes and not click.confirm("Publish on top of what it is now?", err=True):
        raise TenantryError("nothing was changed")
    repository.accept_history(service, cell, head=heads.now, actor=ACTOR, now=service.now())
    click.echo("accepted; `tenantry repo audit` finds what the history lost")


def _show(value: object) -> str:
    return "–" if value is None else str(value)

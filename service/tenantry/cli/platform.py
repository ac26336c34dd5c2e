"""`tenantry platform`: versions of the product's platform, from folder to main and away again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from tenantry.cli import platform_table
from tenantry.cli.bulk import choose_cells, opened
from tenantry.cli.differences import show_difference
from tenantry.cli.options import cell_option, json_option, one_cell_option, product_option
from tenantry.cli.progress import bar
from tenantry.cli.terminal import echo, printable
from tenantry.core.errors import PlatformRefused, TenantryError
from tenantry.core.model import State
from tenantry.flows.fleet.bulk import ACTOR
from tenantry.flows.platforms import diff as diffs
from tenantry.flows.platforms import prune as prunes
from tenantry.flows.platforms import publish as publishes
from tenantry.flows.platforms import show as shows
from tenantry.flows.platforms import versions
from tenantry.flows.platforms.versions import Version
from tenantry.flows.service import Cell, Service


@click.group()
def platform() -> None:
    """Versions of the platform that tenants run: each stands for the same files for ever."""


class Report:
    """One command over some cells: what each of them came to, and whether any failed."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.cells: list[Mapping[str, object]] = []
        self.has_failed = False

    def add(self, found: Mapping[str, object], line: str) -> None:
        """What a cell came to: for programs, and for people."""
        self.cells.append(found)
        if not self.as_json:
            echo(line)

    @contextmanager
    def looking_at(self, cell: Cell) -> Iterator[None]:
        """What keeps the block from being done is told, a line each, and the other cells' turn
        comes.
        """
        try:
            yield
        except TenantryError as error:
            self.has_failed = True
            problems = error.problems if isinstance(error, PlatformRefused) else [error.message]
            self.cells.append({"cell": cell.name, "problems": problems, "remedy": error.remedy})
            for problem in problems:
                echo(f"cell {cell.name}: {problem}", err=True)
            if error.remedy:
                echo(f"cell {cell.name}: → {error.remedy}", err=True)

    def end(self) -> None:
        """Print the document, where one was asked for; exit code 1 where a cell failed."""
        if self.as_json:
            click.echo(json.dumps({"cells": self.cells}, default=str, ensure_ascii=False))
        if self.has_failed:
            raise click.exceptions.Exit(1)


@platform.command()
@cell_option
@product_option
@json_option
def publish(cell_name: str | None, product_dir: Path | None, as_json: bool) -> None:
    """Put the version in the product's folder on main, in one commit.

    First, a tenant of every plan in every state is built and checked, and compared with what
    tenants run now: what Kubernetes never lets change is refused, with the reason. No tenant is
    moved. Where main has the version already, nothing is done.
    """
    report = Report(as_json=as_json)
    with opened(product_dir) as service:
        for cell in choose_cells(service, cell_name):
            with report.looking_at(cell), bar(f"building for {cell.name}", None) as shown:
                done = publishes.publish(service, cell, actor=ACTOR, progress=shown.advance)
                what = "published in" if done.is_new else "there already, the same, since"
                told = f"cell {cell.name}: version {done.version}: {what} {done.commit[:12]}"
                report.add(asdict(done), told)
    report.end()


@platform.command("list")
@cell_option
@product_option
@json_option
def list_versions(cell_name: str | None, product_dir: Path | None, as_json: bool) -> None:
    """Show each cell's versions: since when, who runs them, and whether main still has them as
    published.

    Exits with 1 where one is not what it stands for.
    """
    report = Report(as_json=as_json)
    with opened(product_dir) as service:
        for cell in choose_cells(service, cell_name):
            with report.looking_at(cell):
                found = versions.list_versions(service, cell)
                report.has_failed |= any(each.fault or each.differs for each in found)
                lines = [f"cell {cell.name}:", *(_line(each) for each in found)]
                cells = {"cell": cell.name, "versions": [asdict(each) for each in found]}
                report.cells.append(cells)
                for line in () if as_json else lines:
                    echo(line)
    report.end()


def _line(version: Version) -> str:
    plans = ", ".join(f"{count} {plan}" for plan, count in sorted(version.tenants.items()))
    facts = [
        version.version,
        f"since {version.published_at:%Y-%m-%d}, {str(version.commit)[:12]}"
        if version.published_at
        else ("on main, not recorded yet" if version.is_on_main else "not published yet"),
        f"removed {version.removed_at:%Y-%m-%d}" if version.removed_at else "",
        plans or "no tenants",
        "for new tenants" if version.is_current else "",
        f"! {version.fault}" if version.fault else "",
        f"! {version.differs}" if version.differs and version.differs not in version.fault else "",
    ]
    return "  " + "; ".join(filter(None, facts))


@platform.command()
@one_cell_option
@product_option
@json_option
def show(cell_name: str | None, product_dir: Path | None, as_json: bool) -> None:
    """Show what the version in the product's folder amounts to: what runs and what it asks for in
    each plan, and what is left in each state.

    A tenant of each is built. Exits with 1 where one does not build, and says why.
    """
    with opened(product_dir) as service:
        cell = choose_cells(service, cell_name)[0]
        with bar("building", None) as shown:
            found = shows.overview(service, cell, shown.advance)
    if as_json:
        click.echo(json.dumps(platform_table.as_tree(found), ensure_ascii=False))
        return
    title = f"[bold]{printable(found.title)}[/bold]\n"
    Console(highlight=False).print(title, platform_table.tables(found))


@platform.command()
@click.argument("old")
@click.argument("new")
@one_cell_option
@click.option("--plan", metavar="P", help="Of a tenant of this plan. [default: the trial's]")
@click.option(
    "--state",
    type=click.Choice([state.value for state in State]),
    default=State.ACTIVE.value,
    show_default=True,
    help="Of a tenant in this state.",
)
@product_option
@json_option
def diff(
    old: str,
    new: str,
    cell_name: str | None,
    plan: str | None,
    state: str,
    product_dir: Path | None,
    as_json: bool,
) -> None:
    """Show what a tenant's objects would be with version NEW instead of OLD.

    OLD is taken from main; so is NEW, unless it is the version in the product's folder, which need
    not be published. Exits with 1 where a tenant could not go from one to the other.
    """
    with opened(product_dir) as service:
        cell = choose_cells(service, cell_name)[0]
        plan = _choose_plan(service, plan)
        found = diffs.diff(service, cell, old, new, plan, State(state))
    if as_json:
        named = {"cell": cell.name, "old": old, "new": new, "plan": plan, "state": state}
        click.echo(json.dumps({**named, **asdict(found)}, default=str, ensure_ascii=False))
    else:
        for difference in found.differences:
            show_difference(difference)
        for obstacle in found.obstacles:
            echo(f"cannot change: {obstacle}")
        echo(f"plan {plan}, state {state}: {_sum_up(found)}")
    if found.obstacles:
        raise click.exceptions.Exit(1)


def _choose_plan(service: Service, plan: str | None) -> str:
    if plan is not None and plan not in service.product.plans:
        plans = ", ".join(service.product.plans)
        raise click.UsageError(f"there is no plan {plan!r}; there are {plans}")
    return plan or service.product.trial.plan


def _sum_up(found: diffs.Diff) -> str:
    kinds = Counter(
        "new" if each.old is None else "gone" if each.new is None else "changed"
        for each in found.differences
    )
    counts = ", ".join(f"{kinds[kind]} {kind}" for kind in ("changed", "new", "gone"))
    blocked = f"; {len(found.obstacles)} that cannot change" if found.obstacles else ""
    return f"{counts}{blocked}" if found.differences else "the same objects"


@platform.command()
@cell_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@product_option
@json_option
def prune(cell_name: str | None, yes: bool, product_dir: Path | None, as_json: bool) -> None:
    """Take versions from main that no tenant runs and no new tenant gets, a commit each.

    A number that was taken away may come back only as it was.
    """
    report = Report(as_json=as_json)
    with opened(product_dir) as service:
        for cell in choose_cells(service, cell_name):
            with report.looking_at(cell):
                removed = _prune(service, cell, yes=yes)
                told = f"removed {', '.join(removed)}" if removed else "nothing to remove"
                found = {"cell": cell.name, "removed": removed}
                report.add(found, f"cell {cell.name}: {told}")
    report.end()


def _prune(service: Service, cell: Cell, *, yes: bool) -> Sequence[str]:
    unused = prunes.find_unused(service, cell)
    question = f"cell {cell.name}: remove {', '.join(unused)} from main?"
    if unused and not yes and not click.confirm(printable(question), err=True):
        raise TenantryError("nothing was changed")
    return prunes.prune(service, cell, unused, actor=ACTOR)

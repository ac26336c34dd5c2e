"""`tenantry init`: makes the tenants repository complete, and says what comes next (R33)."""

from __future__ import annotations

import json
from collections.abc import Mapping

import click

from tenantry import settings, wiring
from tenantry.cli.next_steps import Step, next_steps
from tenantry.cli.options import json_option, require_cell
from tenantry.cli.terminal import echo, is_somebody_there
from tenantry.core.owners import is_owner
from tenantry.flows.initializing import Initialized, Wishes, initialize
from tenantry.settings import CellSettings

_REVIEWED = click.Choice(["everything", "default"])
_QUESTION = "What shall wait for a person who merges it: everything, or what does by default"


def _owners(_: click.Context, option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    for owner in given:
        if not is_owner(owner):
            raise click.BadParameter(f"{owner!r} is not @user or @org/team", param=option)
    return given


@click.command("init")
@click.option("--cell", "cell_name", metavar="C", help="This cell. [default: the first]")
@click.option(
    "--owner",
    "owners",
    multiple=True,
    metavar="@ORG/TEAM",
    callback=_owners,
    help="Who must approve what people change; may be given several times.",
)
@click.option(
    "--review",
    "reviewed",
    type=_REVIEWED,
    help="What shall wait for a person who merges it. [default: as the settings say; asked where "
    "they say nothing]",
)
@click.option("--update", is_flag=True, help="Write anew the files that differ.")
@click.option("--yes", is_flag=True, help="Also where the repository holds something else.")
@json_option
def init(
    cell_name: str | None,
    owners: tuple[str, ...],
    reviewed: str | None,
    update: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Make a cell's tenants repository complete: platform, argocd/, CI, CODEOWNERS, README, and
    the shards' branches. Files that are there are left; running it again changes nothing.

    Prints what to do next, with the cell's own values.
    """
    configured = settings.load()
    name = next(iter(configured.cells)) if cell_name is None else cell_name
    require_cell(name, configured.cells)
    reviewed = reviewed or _reviewed(configured.cells[name], may_ask=not as_json)
    with wiring.site(configured, name) as site:
        done = initialize(site, Wishes(owners, update=update, anyway=yes))
    steps = next_steps(name, configured, review_everything=reviewed == "everything")
    if as_json:
        click.echo(json.dumps(_tree(name, reviewed, done, steps), ensure_ascii=False))
    else:
        _tell(name, done)
        _tell_steps(steps)


def _reviewed(cell: CellSettings, *, may_ask: bool) -> str:
    """What shall wait, by the settings; where they do not say it, a person is asked."""
    usual = "everything" if cell.review_everything else "default"
    if "review_everything" in cell.model_fields_set or not may_ask or not is_somebody_there():
        return usual
    answer: str = click.prompt(_QUESTION, type=_REVIEWED, default=usual)
    return answer


def _tree(name: str, reviewed: str, done: Initialized, steps: list[Step]) -> Mapping[str, object]:
    return {
        "cell": name,
        "review": reviewed,
        "head": done.head,
        "added": done.added,
        "updated": done.updated,
        "differing": done.differing,
        "branches": done.branches,
        "next": [{"title": step.title, "lines": step.lines} for step in steps],
    }


def _tell(name: str, done: Initialized) -> None:
    for path in done.added:
        echo(f"added    {path}")
    for path in done.updated:
        echo(f"updated  {path}")
    for path in done.differing:
        echo(f"differs  {path}")
    if done.branches:
        echo(f"made     {len(done.branches)} branches, {done.branches[0]} and on")
    if any(not path.startswith("platform/") for path in done.differing):
        echo("What differs was left; `tenantry init --update` writes the files anew.")
    if any(path.startswith("platform/") for path in done.differing):
        echo("A platform version never changes; `tenantry platform publish` adds one.")
    echo(f"The repository of cell {name} is complete at {done.head[:12]}.")


def _tell_steps(steps: list[Step]) -> None:
    echo("Next, once for a cell (docs/tenants-repository.md says why):")
    for number, step in enumerate(steps, start=1):
        echo("")
        echo(f"{number}. {step.title}")
        for line in step.lines:
            echo(f"     {line}")

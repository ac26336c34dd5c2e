"""`tenantry stats`: how long deployments take, and how they end."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import click

from tenantry.cli.bulk import opened
from tenantry.cli.options import json_option
from tenantry.cli.terminal import echo
from tenantry.flows.figures import KINDS, STEPS, TARGET, Figures, figures

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_TITLES = dict(zip(KINDS, ("First deployments", "Changes"), strict=True))


class Period(click.ParamType[timedelta]):
    """A length of time, such as 30d."""

    name = "period"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        found = re.fullmatch(r"([0-9]{1,5})([mhd])", value)
        if not found:
            self.fail(f"{value!r} is no period such as 30d, 12h or 90m", param, ctx)
        return timedelta(**{_UNITS[found[2]]: int(found[1])})


@click.command()
@click.option(
    "--since",
    type=Period(),
    metavar="30d",
    default="30d",
    show_default=True,
    help="What was asked for in this time: days, hours (h) or minutes (m).",
)
@click.option("--synthetic", is_flag=True, help="Of the tenants of `tenantry synthetic` instead.")
@json_option
def stats(since: timedelta, synthetic: bool, as_json: bool) -> None:
    """How long deployments take, step by step, and how they end.

    Seconds; p50 and p95 are those that half, and 95 of 100, did not exceed.
    """
    with opened() as service:
        found = figures(service, since=service.now() - since, synthetic=synthetic)
    if as_json:
        echo(json.dumps({kind: each.as_json() for kind, each in found.items()}))
        return
    for kind, each in found.items():
        _tell(_TITLES[kind], each)


def _tell(title: str, found: Figures) -> None:
    ends = f"{found.success} arrived, {found.failed} failed, {found.under_way} under way"
    echo(f"{title}: {ends}{_in_target(found)}")
    if found.steps:
        echo(f"  {'':<10}{'number':>8}{'average':>10}{'p50':>10}{'p95':>10}")
    for name in (step[0] for step in STEPS if step[0] in found.steps):
        each = found.steps[name]
        echo(f"  {name:<10}{each.count:>8}{each.average:>10.1f}{each.p50:>10.1f}{each.p95:>10.1f}")


def _in_target(found: Figures) -> str:
    share = found.share_in_target
    minutes = round(TARGET.total_seconds() / 60)
    return "" if share is None else f"; {share:.0%} within {minutes} minutes".replace("%", " %")

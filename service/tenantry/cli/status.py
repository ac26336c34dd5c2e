"""`tenantry status`: the fleet at one look, or one tenant in detail."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from tenantry.cli.bulk import opened
from tenantry.cli.options import json_option
from tenantry.cli.terminal import echo, printable
from tenantry.flows.flags import read_flags
from tenantry.flows.fleet.overview import Happened, Seen, read_fleet, read_tenant
from tenantry.flows.service import Service

EVERY = 1.0  # seconds between two looks of --watch


@click.command()
@click.argument("customer_id", required=False, metavar="[CUSTOMER_ID]")
@click.option("--watch", is_flag=True, help="Go on looking, in place, until Ctrl-C.")
@json_option
def status(customer_id: str | None, watch: bool, as_json: bool) -> None:
    """How the fleet stands: tenants by status, and those on their way or in trouble.

    With a customer id: that tenant, and what happened to it last.
    """
    if watch and as_json:
        raise click.UsageError("--watch is for people; give --json without it")
    with opened() as service:
        if as_json:
            echo(json.dumps(_facts(service, customer_id), default=_iso))
        elif watch:
            _watch(lambda: _lines(service, customer_id))
        else:
            for line in _lines(service, customer_id):
                echo(line)


def _watch(look: Callable[[], list[str]]) -> None:
    """In place at a terminal; elsewhere only what is another than before."""
    console, told = Console(), list[str]()
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                lines = look()
                if console.is_terminal:
                    live.update(Text(printable_lines(lines)), refresh=True)
                elif lines != told:
                    click.echo(printable_lines(lines))
                told = lines
                time.sleep(EVERY)
    except KeyboardInterrupt:
        return


def printable_lines(lines: list[str]) -> str:
    """The lines, without what a terminal would obey."""
    return "\n".join(printable(line) for line in lines)


def _facts(service: Service, customer_id: str | None) -> dict[str, object]:
    flags = [asdict(each) for each in read_flags(service) if each.is_moved]
    if customer_id is None:
        return {**asdict(read_fleet(service)), "flags": flags}
    seen, events = read_tenant(service, customer_id)
    return {**asdict(seen), "events": [asdict(each) for each in events], "flags": flags}


def _iso(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _lines(service: Service, customer_id: str | None) -> list[str]:
    switches = [each.as_text() for each in read_flags(service) if each.is_moved]
    if customer_id is None:
        return [*switches, *_fleet_lines(service)]
    seen, events = read_tenant(service, customer_id)
    return [*switches, _line(seen), *(_event_line(each) for each in events)]


def _fleet_lines(service: Service) -> list[str]:
    fleet = read_fleet(service)
    counts = [f"{number} {name}" for name, number in fleet.statuses.items() if number]
    blind = [f"cell {c}: Argo CD not seen since {_clock(at)}" for c, at in fleet.blind.items()]
    more = [f"… and {fleet.more} more"] if fleet.more else []
    return [", ".join(counts) or "no tenants", *blind, *map(_line, fleet.tenants), *more]


def _line(seen: Seen) -> str:
    notes = [
        f"{seen.customer_id}  {seen.status} since {_clock(seen.since)}",
        "LATE" if seen.late else "",
        f"not seen since {_clock(seen.unknown_since)}" if seen.unknown_since else "",
        f"{seen.flaps} flaps" if seen.flaps else "",
        ": ".join(filter(None, (seen.reason_code, seen.resource, seen.detail))),
    ]
    return "  ".join(filter(None, notes))


def _event_line(event: Happened) -> str:
    why = ": ".join(filter(None, (event.reason_code, event.detail)))
    return f"  {_clock(event.at)}  {event.status}  {why}"


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"

"""`tenantry demo`: the whole product on one machine, with embedded defaults.

Runs what an operator would run (`serve` and `worker`) beside the development stand-in for Argo CD
and cluster, each as a process of its own that ends with this one.
"""

from __future__ import annotations

import contextlib
import json
import math
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

from tenantry import assets, settings, wiring
from tenantry.cli.demo import printing
from tenantry.cli.demo.clock import FASTEST, Flight
from tenantry.cli.demo.signup import Run, follow_signup
from tenantry.cli.demo.stack import Parts, Stack, running, settings_of
from tenantry.cli.demo.walk import Walk, walk

COMPANY = "Demo Corp"
LOOK_EVERY = 0.5  # seconds
TELL_EVERY = timedelta(days=7)  # of the demo's own time


@click.command()
@click.option("--once", is_flag=True, help="Sign one customer up, follow it to ready, and end.")
@click.option("--json", "as_json", is_flag=True, help="With --once: one JSON object as last line.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    show_default=".demo, or .demo-<folder> with --product",
    help="Where everything is kept: repository, database, keys, mail, logs.",
)
@click.option(
    "--port", type=click.IntRange(1, 65_534), default=3100, show_default=True,
    help="Port of the signup page; the stand-in takes the next one.",
)  # fmt: skip
@click.option(
    "--product",
    envvar="TENANTRY_PRODUCT_DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    show_default="the sample",
    help="The folder of another product, such as examples/inkwell; or TENANTRY_PRODUCT_DIR.",
)
@click.option("--review", is_flag=True, help="Every change waits for somebody who merges it.")
@click.option(
    "--clock-speed",
    type=click.FloatRange(0, FASTEST, min_open=True),
    callback=lambda _context, _option, days: _a_number(days),
    metavar="DAYS",
    help=f"Days that pass in a second, {FASTEST:g} at most; with --once, from trial to paid.",
)
def demo(
    once: bool,
    as_json: bool,
    data: Path | None,
    port: int,
    product: Path | None,
    review: bool,
    clock_speed: float | None,
) -> None:
    """Show a signup become a running, licensed tenant, on this machine alone."""
    if as_json and not once:
        raise click.UsageError("--json goes with --once")
    if once and review and clock_speed:
        raise click.UsageError("--once with --clock-speed goes without --review: nobody merges")
    console = Console(stderr=as_json, highlight=False)
    place = data or Path(f".demo-{product.resolve().name}" if product else ".demo")
    folder = product or assets.path("tenant_templates")
    stack = Stack(
        place.absolute(),
        port,
        folder.absolute(),
        is_reviewed=review,
        days_a_second=clock_speed or 0.0,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    console.print("Starting web, worker and the stand-in for Argo CD and cluster …", style="dim")
    with running(stack) as parts:
        if not as_json:
            printing.show_product(console, stack)
        if not once:
            printing.show_places(console, stack)
            with contextlib.suppress(KeyboardInterrupt):
                _go_on(console, stack, parts, clock_speed)
            console.print("\nStopping …", style="dim")
            return
        run = _run_once(console, stack, parts)
        walked = _walk(console, stack, parts, run, clock_speed) if clock_speed else None
    if as_json:
        click.echo(json.dumps(asdict(run) | ({"walk": asdict(walked)} if walked else {})))
    if not run.is_ready or (walked and not walked.is_paid):
        raise click.exceptions.Exit(1)


def _a_number(days: float | None) -> float | None:
    """A range lets NaN pass, since it is not beyond any end."""
    if days is not None and math.isnan(days):
        raise click.BadParameter("is not a number")
    return days


def _interrupt(*_: object) -> None:
    """By an exception, so that no process is left; also where a shell that put us into the
    background had Ctrl-C ignored.
    """
    raise KeyboardInterrupt


def _go_on(console: Console, stack: Stack, parts: Parts, clock_speed: float | None) -> None:
    """Until Ctrl-C; ProgramError where a part ends before. With a speed, time flies."""
    if clock_speed:
        console.print(f"{clock_speed:g} days pass in a second, while nothing is on its way:")
        with _flying(stack, parts, clock_speed) as flight:
            _fly(console, flight)
    while True:
        parts.check()
        time.sleep(LOOK_EVERY)


@contextlib.contextmanager
def _flying(stack: Stack, parts: Parts, clock_speed: float) -> Iterator[Flight]:
    service = wiring.build(settings.load(**settings_of(stack)))
    with contextlib.closing(service.database):
        yield Flight(stack, service, speed=clock_speed, check=parts.check)


def _fly(console: Console, flight: Flight) -> NoReturn:
    tell_at = flight.now()
    while True:
        flight.fly()
        if (now := flight.now()) >= tell_at:
            console.print(f"  {now:%a %d %b %Y}", style="dim")
            tell_at = now + TELL_EVERY


def _run_once(console: Console, stack: Stack, parts: Parts) -> Run:
    console.print(f"Signing up {COMPANY} at {stack.signup_url} …")
    if stack.is_reviewed:
        console.print(f"It waits for a review at {stack.reviews_url}; the demo merges it itself.")
    console.print()

    def say(label: str, seconds: float) -> None:
        console.print(f"  [green]✓[/green] {label:<26}[dim]{seconds:>7.2f} s[/dim]")

    run = follow_signup(stack, company=COMPANY, say=say, check=parts.check)
    console.print(printing.summary(run, stack))
    return run


def _walk(
    console: Console, stack: Stack, parts: Parts, run: Run, clock_speed: float
) -> Walk | None:
    """From trial to paid; None where there is no running instance to begin with."""
    if not run.is_ready:
        return None
    console.print(f"\nNow {clock_speed:g} days pass in a second, until the trial is over and paid.")
    with _flying(stack, parts, clock_speed) as flight:
        walked = walk(stack, flight, run.customer_id, say=partial(printing.show_step, console))
    console.print(printing.history(walked, run))
    return walked

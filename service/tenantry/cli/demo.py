"""`tenantry demo`: the whole product on one machine, with embedded defaults.

Runs what an operator would run (`serve` and `worker`) beside the development stand-in for Argo CD
and cluster, each as a process of its own that ends with this one.
"""

from __future__ import annotations

import contextlib
import json
import signal
import time
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from tenantry import assets, settings, wiring
from tenantry.cli import platform_table
from tenantry.cli.demo_run import Run, follow_signup
from tenantry.cli.demo_stack import Parts, Stack, running, settings_of
from tenantry.cli.terminal import printable
from tenantry.flows.platforms.show import overview

COMPANY = "Demo Corp"
LOOK_EVERY = 0.5  # seconds


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
def demo(
    once: bool,
    as_json: bool,
    data: Path | None,
    port: int,
    product: Path | None,
    review: bool,
) -> None:
    """Show a signup become a running, licensed tenant, on this machine alone."""
    if as_json and not once:
        raise click.UsageError("--json goes with --once")
    console = Console(stderr=as_json, highlight=False)
    place = data or Path(f".demo-{product.resolve().name}" if product else ".demo")
    folder = product or assets.path("tenant_templates")
    stack = Stack(place.absolute(), port, folder.absolute(), is_reviewed=review)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    console.print("Starting web, worker and the stand-in for Argo CD and cluster …", style="dim")
    with running(stack) as parts:
        if not as_json:
            _show_product(console, stack)
        if not once:
            _show_places(console, stack)
            _wait_for_interrupt(parts)
            console.print("\nStopping …", style="dim")
            return
        run = _run_once(console, stack, parts)
    if as_json:
        click.echo(json.dumps(asdict(run)))
    if not run.is_ready:
        raise click.exceptions.Exit(1)


def _interrupt(*_: object) -> None:
    """By an exception, so that no process is left; also where a shell that put us into the
    background had Ctrl-C ignored.
    """
    raise KeyboardInterrupt


def _wait_for_interrupt(parts: Parts) -> None:
    """Until Ctrl-C; ProgramError where a part ends before."""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            parts.check()
            time.sleep(LOOK_EVERY)


def _run_once(console: Console, stack: Stack, parts: Parts) -> Run:
    console.print(f"Signing up {COMPANY} at {stack.signup_url} …")
    if stack.is_reviewed:
        console.print(f"It waits for a review at {stack.reviews_url}; the demo merges it itself.")
    console.print()

    def say(label: str, seconds: float) -> None:
        console.print(f"  [green]✓[/green] {label:<26}[dim]{seconds:>7.2f} s[/dim]")

    run = follow_signup(stack, company=COMPANY, say=say, check=parts.check)
    console.print(_summary(run, stack))
    return run


def _summary(run: Run, stack: Stack) -> Panel:
    table = Table.grid(padding=(0, 2))
    valid = "valid" if run.license["valid"] else "NOT VALID"
    for name, value in {
        "status": run.status,
        "instance": run.instance_url,
        "namespace": run.namespace,
        "license": f"{valid}, plan {run.license['plan']}, until {run.license['expires_at']}",
        "commit": run.commit or "none",
        "repository": run.repository,
        "public key": str(stack.keys / "public-key.pem"),
    }.items():
        table.add_row(f"[dim]{name}[/dim]", value)
    return Panel(table, title=f"{run.customer_id}", title_align="left", expand=False)


def _show_product(console: Console, stack: Stack) -> None:
    """What tenants are made of, as `tenantry platform show` has it."""
    service = wiring.build(settings.load(**settings_of(stack)))
    try:
        found = overview(service, service.new_tenants_cell)
    finally:
        service.database.close()
    table = platform_table.tables(found)
    console.print(Panel(table, title=printable(found.title), title_align="left", expand=False))


def _show_places(console: Console, stack: Stack) -> None:
    table = Table.grid(padding=(0, 2))
    reviews = {"reviews": stack.reviews_url} if stack.is_reviewed else {}
    for name, value in {
        "sign up": stack.signup_url,
        **reviews,
        "Argo CD stand-in": stack.stand_in_url,
        "API": f"{stack.signup_url}/api/docs",
        "tenants repository": str(stack.repository),
        "mail": str(stack.mail),
        "logs": str(stack.logs),
    }.items():
        table.add_row(f"[dim]{name}[/dim]", value)
    console.print(Panel(table, title="Tenantry is running", title_align="left", expand=False))
    if stack.is_reviewed:
        console.print(
            f"Signups wait for a review: read and merge each at {stack.reviews_url}", style="bold"
        )
    console.print(
        "The cluster is a stand-in for development. Ctrl-C stops everything.", style="dim"
    )

"""What the demo shows on the console."""

from __future__ import annotations

import shlex
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from tenantry import settings, wiring
from tenantry.cli import platform_table
from tenantry.cli.demo.scene import Entry, Snapshot
from tenantry.cli.demo.signup import Run
from tenantry.cli.demo.stack import Stack, settings_of
from tenantry.cli.demo.walk import Walk
from tenantry.cli.terminal import printable
from tenantry.flows.platforms.show import overview


def summary(run: Run, stack: Stack) -> Panel:
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


def show_step(console: Console, step: Snapshot) -> None:
    """Something came: when, how the customer stands since, and what was written about it."""
    instance = "answers" if step.answers else "does not answer"
    console.print(
        f"\n  [bold]{_day(step.at)}[/bold]  {step.stage}, {step.plan}: {step.status}, "
        f"the instance {instance}"
    )
    for name, entries in (("mail", step.mails), ("commit", step.commits)):
        for entry in entries:
            console.print(f"    [dim]{name:<6}[/dim]  {_text(entry)}")


def history(walked: Walk, run: Run) -> Panel:
    """All mails and commits of a walk, and how it ended."""
    table = Table.grid(padding=(0, 2))
    for name, of_step in (("mail", "mails"), ("commit", "commits")):
        for step in walked.steps:
            for entry in getattr(step, of_step):
                table.add_row(f"[dim]{name}[/dim]", _day(entry.at), _text(entry))
    found = walked.license
    valid = "valid" if found.get("valid") else "NOT VALID"
    told = f"{valid}, {found.get('kind')}, plan {found.get('plan')}"
    table.add_row("[dim]license[/dim]", _day(walked.steps[-1].at), told)
    return Panel(table, title=f"{run.customer_id}", title_align="left", expand=False)


def _day(moment: str) -> str:
    return f"{datetime.fromisoformat(moment):%a %d %b %Y}"


def _text(entry: Entry) -> str:
    return escape(printable(entry.subject))


def show_product(console: Console, stack: Stack) -> None:
    """What tenants are made of, as `tenantry platform show` has it."""
    service = wiring.build(settings.load(**settings_of(stack)))
    try:
        found = overview(service, service.new_tenants_cell)
    finally:
        service.database.close()
    table = platform_table.tables(found)
    console.print(Panel(table, title=printable(found.title), title_align="left", expand=False))


def show_places(console: Console, stack: Stack) -> None:
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
        "commands": f". {shlex.quote(str(stack.environment))}",
    }.items():
        table.add_row(f"[dim]{name}[/dim]", value)
    console.print(Panel(table, title="Tenantry is running", title_align="left", expand=False))
    if stack.is_reviewed:
        console.print(
            f"Signups wait for a review: read and merge each at {stack.reviews_url}", style="bold"
        )
    console.print(
        "The cluster is a stand-in for development, and so is the page where plans are paid.\n"
        "A shell that reads the file of commands has `tenantry` with this demo's settings.\n"
        "Ctrl-C stops everything.",
        style="dim",
    )

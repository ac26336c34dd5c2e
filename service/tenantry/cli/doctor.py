"""`tenantry doctor`: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict

import click
from rich.console import Console
from rich.text import Text

from tenantry.cli.options import json_option
from tenantry.doctor import examine_environment
from tenantry.flows.attention import Finding


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Look at every setting, key, program and neighbor; exits with 1 where something is wrong."""
    findings = examine_environment()
    bad = _print_json(findings) if as_json else _print_lines(findings)
    if bad:
        raise click.exceptions.Exit(1)


def _print_json(findings: Iterable[Finding]) -> int:
    found = list(findings)
    bad = sum(not finding.ok for finding in found)
    shown = [{**asdict(finding), "ok": finding.ok} for finding in found]
    click.echo(json.dumps({"ok": not bad, "findings": shown}))
    return bad


def _print_lines(findings: Iterable[Finding]) -> int:
    """Each line as soon as it is known: some neighbors take their time."""
    console, bad = Console(highlight=False), 0
    for finding in findings:
        mark, style = ("ok", "green") if finding.ok else ("!!", "bold red")
        line = Text.assemble((mark, style), f"  {finding.id:<24}  {finding.message}")
        console.print(line, soft_wrap=True)
        if not finding.ok:
            bad += 1
            console.print(f"{'':<30}→ {finding.remedy}", markup=False, soft_wrap=True)
    console.print(f"\n{bad} wrong" if bad else "\nnothing wrong")
    return bad

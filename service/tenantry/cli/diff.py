"""`tenantry diff`: what waits for a review of one tenant, as its pull request tells it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

import click

from tenantry.cli.bulk import cell_of, opened
from tenantry.cli.differences import show_difference
from tenantry.cli.options import json_option
from tenantry.cli.terminal import echo
from tenantry.core.review_entry import Entry
from tenantry.core.review_words import license_terms, what
from tenantry.flows.reviewing.describe import look
from tenantry.flows.reviewing.wanted import read_subjects


@click.command()
@click.argument("customer_id", metavar="CUSTOMER_ID")
@json_option
def diff(customer_id: str, as_json: bool) -> None:
    """Show what waits for a review of a tenant: facts, checks, and what differs in its objects."""
    with opened() as service:
        cell = cell_of(service, customer_id)
        entries = list(look(service, cell, read_subjects(service, cell, [customer_id])))
    if as_json:
        found = {"customer_id": customer_id, "waiting": [asdict(entry) for entry in entries]}
        click.echo(json.dumps(found, default=str, ensure_ascii=False))
        return
    for entry in entries:
        _show(entry)
    if not entries:
        echo(f"{customer_id}: nothing waits for a review")


def _show(entry: Entry) -> None:
    for difference in entry.content.differences:
        show_difference(difference)
    echo(f"{entry.customer_id}: {what(entry)}")
    for name, value in _facts(entry):
        echo(f"  {name + ':':<12}{value}")
    if not entry.content.problems:
        echo("  checks:     passed")
    for problem in entry.content.problems:
        echo(f"  checks:     failed: {problem}")


def _facts(entry: Entry) -> Iterator[tuple[str, object]]:
    yield "company", entry.company
    yield "asked by", ", ".join(entry.actors)
    yield from (("plan", entry.plan), ("state", entry.state), ("platform", entry.platform))
    yield "instance", entry.url
    yield "license", license_terms(entry)
    for secret in entry.content.secrets:
        changed = [f"{key} {change}" for key, change in secret.keys.items() if change != "same"]
        yield "secrets", f"{secret.name}: {', '.join(changed) or 'the same'}"
    for quota in entry.content.quotas:
        yield "quota", f"{quota.resource}: {quota.need} of {quota.hard}"
    yield from (("edited", path) for path in entry.edited)

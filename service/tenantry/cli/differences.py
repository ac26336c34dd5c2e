"""Differences of objects, in color where it is a terminal that shows them."""

from __future__ import annotations

import click

from tenantry.cli.terminal import printable
from tenantry.core.objects.diff import Difference

_COLORS = {"+": "green", "-": "red", "@": "cyan"}


def show_difference(difference: Difference) -> None:
    """The object's name, and its lines."""
    names = dict.fromkeys(filter(None, (difference.old, difference.new)))
    click.secho(printable(" → ".join(names)), bold=True)
    for line in difference.lines[2:]:  # the first two name the sides
        click.secho(printable(line), fg=_COLORS.get(line[:1]))

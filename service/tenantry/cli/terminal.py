"""Telling an operator what others wrote: a terminal obeys what it is sent."""

from __future__ import annotations

import sys

import click

from tenantry.core.printable import printable

__all__ = ["echo", "printable"]


def echo(line: str, *, err: bool = False) -> None:
    """One line, to standard output or to standard error."""
    click.echo(printable(line), err=err)

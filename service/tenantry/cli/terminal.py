"""Telling an operator what others wrote: a terminal obeys what it is sent."""

from __future__ import annotations

import sys

import click

from tenantry.core.printable import printable

__all__ = ["echo", "is_somebody_there", "printable"]


def is_somebody_there() -> bool:
    """Whether a question would be answered by a person."""
    return sys.stdin.isatty()


def echo(line: str, *, err: bool = False) -> None:
    """One line, to standard output or to standard error."""
    click.echo(printable(line), err=err)

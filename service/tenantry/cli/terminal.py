"""Telling an operator what others wrote: a terminal obeys what it is sent."""

from __future__ import annotations

import click


def printable(text: str) -> str:
    """Without control characters: paths, reasons and names may come from anybody, and must not
    move the cursor or end the line.
    """
    return "".join(c if c.isprintable() else "�" for c in text)


def echo(line: str, *, err: bool = False) -> None:
    """One line, to standard output or to standard error."""
    click.echo(printable(line), err=err)

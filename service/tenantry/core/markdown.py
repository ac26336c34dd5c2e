"""Markdown in which what others wrote is shown as it is, and does nothing.

A forge reads mentions, issue numbers and addresses in text, whatever was escaped; in code it reads
none. A code span cannot hold every text within a table, so foreign text stands in HTML's `code`, in
blocks of HTML: CommonMark leaves those alone until a blank line, which `printable` never makes.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from tenantry.core.printable import printable


def text(value: str) -> str:
    """Words of ours, within a block of HTML."""
    return html.escape(printable(value))


def code(value: str) -> str:
    """What somebody else wrote, within a block of HTML."""
    return f"<code>{text(value)}</code>"


def link(url: str, inner: str) -> str:
    """A link, within a block of HTML, to an address of ours; `inner` is HTML."""
    return f'<a href="{text(url)}">{inner}</a>'


def paragraph(inner: str) -> str:
    """A block of its own; `inner` is HTML."""
    return f"<p>{inner}</p>"


def bullets(title: str, inner: Iterable[str]) -> str:
    """A line and a list; both are HTML."""
    return "\n".join([paragraph(title), "<ul>", *(f"<li>{each}</li>" for each in inner), "</ul>"])


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, a line for each row; the cells are HTML."""
    return "\n".join(["<table>", _row("th", heads), *(_row("td", row) for row in rows), "</table>"])


def _row(tag: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{cell}</{tag}>' for cell in cells)}</tr>"


def details(summary: str, block: str) -> str:
    """A block that is opened by a click; `summary` is HTML."""
    return f"<details><summary>{summary}</summary>\n\n{block}\n\n</details>"


def fence(lines: Iterable[str], language: str) -> str:
    """The lines as code, in a fence that none of them closes."""
    shown = [printable(line) for line in lines]
    longest = max((len(run) for line in shown for run in re.findall("`+", line)), default=0)
    ticks = "`" * max(3, longest + 1)
    return "\n".join([f"{ticks}{language}", *shown, ticks])

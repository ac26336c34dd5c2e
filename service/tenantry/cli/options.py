"""Options that several commands have, each with one meaning."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
json_lines_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object a line."
)
cell_option = click.option("--cell", "cell_name", metavar="C", help="Only this cell.")
one_cell_option = click.option(
    "--cell", "cell_name", metavar="C", help="As in this cell. [default: the first]"
)
product_option = click.option(
    "--product",
    "product_dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The product's folder. [default: the setting product_dir]",
)


def require_cell(name: str, known: Collection[str]) -> None:
    """A usage error where there is no such cell."""
    if name not in known:
        raise click.UsageError(f"there is no cell {name!r}; there are {', '.join(known)}")

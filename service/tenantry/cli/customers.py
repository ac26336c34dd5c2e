"""`tenantry customers`: people rather than what runs for them."""

from __future__ import annotations

import click


@click.group()
def customers() -> None:
    """Customers: approve those who wait, correct, erase."""

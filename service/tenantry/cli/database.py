"""`tenantry db`: the database's schema."""

from __future__ import annotations

from contextlib import closing

import click

from tenantry import settings, wiring
from tenantry.adapters.database import schema


@click.group()
def db() -> None:
    """The database."""


@db.command()
def upgrade() -> None:
    """Bring the database's tables up to date; harmless where they are."""
    configured = settings.load()
    wiring.make_data_folder(configured)
    with closing(wiring.open_database(configured)) as database:
        before = schema.current(database)
        after = schema.upgrade(database)
    click.echo(f"database at {after}" + (" already" if before == after else f", was {before}"))

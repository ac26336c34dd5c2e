"""Databases that have all tables already: migrations run once for all tests of a process."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import pytest

from tenantry.adapters.database import schema
from tenantry.adapters.database.session import Database
from tests import postgres

SQLITE = "sqlite:///"

# Of tests, or as a module's `pytestmark`, that rows do not decide: one database tells all.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def bring_up(url: str) -> str:
    """The URL again; where it is of an SQLite file that is not there, the file is now."""
    path = Path(url.removeprefix(SQLITE))
    if url.startswith(SQLITE) and not path.exists():
        path.write_bytes(_sqlite())
    return url


def new_database(server_url: str) -> str:
    """A database of its own on a PostgreSQL server."""
    return postgres.new_database(server_url, template=_on(server_url))


@cache
def _sqlite() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tenantry.db"
        _upgrade(f"{SQLITE}{path}")
        return path.read_bytes()


@cache
def _on(server_url: str) -> str:
    """The name of a database on the server that others are copies of."""
    url = postgres.new_database(server_url)
    _upgrade(url)
    return url.rpartition("/")[2]


def _upgrade(url: str) -> None:
    database = Database(url)
    schema.upgrade(database)
    database.close()

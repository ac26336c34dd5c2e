"""Fixtures that all tests share."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tenantry.adapters import process
from tests import migrated, postgres
from tools.work import ROOT

process.add_program_folder(ROOT / ".tools" / "bin")


@pytest.fixture(autouse=True)
def logging_is_put_back() -> Iterator[None]:
    """Logging belongs to the whole process: what a test (or its command) sets ends with it."""
    root, alembic = logging.getLogger(), logging.getLogger("alembic")
    handlers, levels = root.handlers[:], (root.level, alembic.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    alembic.setLevel(levels[1])
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """One PostgreSQL server for the tests of this process."""
    with postgres.server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with all tables and no row; a test that asks for it runs on both kinds."""
    if request.param == "sqlite":
        return migrated.bring_up(f"sqlite:///{tmp_path}/tenantry.db")
    return migrated.new_database(request.getfixturevalue("postgres_server"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables, of both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/tenantry.db"
    return postgres.new_database(request.getfixturevalue("postgres_server"))

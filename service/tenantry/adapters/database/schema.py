"""The schema's version: bring it up to date, or say that it is not."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from tenantry.adapters.database.session import Database

MIGRATIONS = Path(__file__).parent / "migrations"
UPGRADE_LOCK = 7_381_946_021  # any number; two processes that start at once upgrade one by one
UPGRADE_WITHIN = 1800  # seconds for a step, and for another process's upgrade


def upgrade(database: Database) -> str:
    """Run what migrations are missing, in one transaction; the revision reached."""
    with database.write() as session:
        connection = session.connection()
        if not database.is_sqlite():
            _take_turns(connection)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return head()


def _take_turns(connection: Connection) -> None:
    """Wait for another's upgrade, and let steps take longer than statements may. The time to wait
    for a table's lock stays: whoever wants to use the table meanwhile stands in line behind it.
    """
    for name in ("lock", "statement", "idle_in_transaction_session"):
        connection.execute(text(f"SET LOCAL {name}_timeout = '{UPGRADE_WITHIN}s'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": UPGRADE_LOCK})
    connection.execute(text("SET LOCAL lock_timeout TO DEFAULT"))


def head() -> str:
    """The newest revision that this code knows."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def current(database: Database) -> str | None:
    """The revision that the database is at; None for an empty one."""
    with database.read() as session:
        return MigrationContext.configure(session.connection()).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config

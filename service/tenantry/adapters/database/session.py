"""Connections and transactions.

`Database.read()` and `Database.write()` are the two ways in. A write on SQLite takes the write
lock at once (`BEGIN IMMEDIATE`): a transaction that reads first and then finds the lock taken
would have to be run again. WAL lets readers go on meanwhile; `synchronous=FULL` makes a commit
survive a power cut, since a customer has already been told about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Base
from tenantry.core.errors import SettingsError

URL_REMEDY = "use sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME"
BUSY_TIMEOUT = 15.0  # seconds that a writer waits for another on SQLite


class Database:
    """One database, by SQLAlchemy URL (`sqlite:///…` or `postgresql+psycopg://…`)."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.engine = _engine(url, pool_size)
        self._writer = self.engine.execution_options(tenantry_write=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that only reads; nothing it changes is kept."""
        with Session(self.engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction: committed at the end, rolled back by any exception."""
        with Session(self._writer) as session, session.begin():
            yield session

    def is_sqlite(self) -> bool:
        """Whether only one writer at a time is possible."""
        return self.engine.dialect.name == "sqlite"

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _engine(url: str, pool_size: int) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsError("TENANTRY_DATABASE_URL is not a URL", remedy=URL_REMEDY) from None
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if parsed.drivername == "postgresql+psycopg":
        return create_engine(parsed, pool_size=pool_size, pool_pre_ping=True)
    raise SettingsError(
        f"TENANTRY_DATABASE_URL: {parsed.drivername} is not supported", remedy=URL_REMEDY
    )


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("tenantry_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def upsert(session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows (by column name), replacing those with the same primary key; one statement."""
    if not rows:
        return
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    statement = insert(table)
    keys = [column.name for column in inspect(table).primary_key]
    changes = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    session.execute(statement.on_conflict_do_update(index_elements=keys, set_=changes), list(rows))


def is_available(database: Database) -> bool:
    """Whether the database answers."""
    try:
        with database.read() as session:
            session.connection().exec_driver_sql("SELECT 1")
    except SQLAlchemyError:
        return False
    return True

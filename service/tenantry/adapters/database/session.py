"""Connections and transactions.

`Database.read()` and `Database.write()` are the two ways in. A write on SQLite takes the write
lock at once (`BEGIN IMMEDIATE`): a transaction that reads first and then finds the lock taken
would have to be run again. WAL lets readers go on meanwhile; `synchronous=FULL` makes a commit
survive a power cut, since a customer has already been told about it.

Errors carry no parameters: those are customers' data, and messages end up in logs (R65).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Base
from tenantry.core.errors import DatabaseUnavailable, SettingsError

URL_REMEDY = "use sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME"
BUSY_TIMEOUT = 15.0  # seconds that a writer waits for another on SQLite


class Database:
    """One database, by SQLAlchemy URL (`sqlite:///…` or `postgresql+psycopg://…`)."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.engine = _engine(url, pool_size)
        self._writer = self.engine.execution_options(tenantry_write=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that only reads; nothing it changes is kept. DatabaseUnavailable where the
        database is locked, full or away.
        """
        with _known_errors(), Session(self.engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction: committed at the end, rolled back by any exception.

        DatabaseUnavailable as for `read`. Where the connection broke during the commit itself,
        the transaction may stand all the same: read before doing it again.
        """
        with _known_errors(), Session(self._writer) as session, session.begin():
            yield session

    def is_sqlite(self) -> bool:
        """Whether only one writer at a time is possible."""
        return self.engine.dialect.name == "sqlite"

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


@contextmanager
def _known_errors() -> Iterator[None]:
    """What is wrong with the database rather than with what it was given, as one error of ours."""
    try:
        yield
    except (IntegrityError, DataError, ProgrammingError):
        raise
    except (DatabaseError, InterfaceError, PoolTimeout) as error:
        said = str(getattr(error, "orig", None) or error).strip().splitlines()
        raise DatabaseUnavailable(
            f"the database failed: {said[0] if said else type(error).__name__}", retry_after=1.0
        ) from None


def _engine(url: str, pool_size: int) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsError("TENANTRY_DATABASE_URL is not a URL", remedy=URL_REMEDY) from None
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT}, hide_parameters=True)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if parsed.drivername == "postgresql+psycopg":
        return create_engine(parsed, pool_size=pool_size, pool_pre_ping=True, hide_parameters=True)
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
    statement = _insert(session, table)
    keys = [column.name for column in inspect(table).primary_key]
    changes = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    session.execute(statement.on_conflict_do_update(index_elements=keys, set_=changes), list(rows))


def insert_new(session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows (by column name), leaving out those that a unique constraint says are there."""
    if rows:
        session.execute(_insert(session, table).on_conflict_do_nothing(), list(rows))


def _insert(session: Session, table: type[Base]) -> sqlite.Insert | postgresql.Insert:
    kind = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    return kind(table)


def is_available(database: Database) -> bool:
    """Whether the database answers."""
    try:
        with database.read() as session:
            session.connection().exec_driver_sql("SELECT 1")
    except DatabaseUnavailable:
        return False
    return True

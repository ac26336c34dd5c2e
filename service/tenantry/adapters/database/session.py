"""Connections and transactions.

`Database.read()` and `Database.write()` are the two ways in. A write on SQLite takes the write
lock at once (`BEGIN IMMEDIATE`): a transaction that reads first and then finds the lock taken
would have to be run again. WAL lets readers go on meanwhile; `synchronous=FULL` makes a commit
survive a power cut, since a customer has already been told about it.

Errors carry no parameters: those are customers' data, and messages end up in logs (R65).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import func, inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from tenantry.adapters.database.base import Base
from tenantry.adapters.database.engine import Deadlines, make_engine
from tenantry.core.errors import DatabaseUnavailable

_FAILURES = (DatabaseError, InterfaceError, PoolTimeout)
_USUAL = Deadlines()


class Database:
    """One database, by SQLAlchemy URL (`sqlite:///…` or `postgresql+psycopg://…`). `pool_size` is
    how many connections are kept, which should be one for each thread.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        deadlines: Deadlines = _USUAL,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.wait = wait  # seconds, for others that want to write
        self.engine = make_engine(url, pool_size=pool_size, deadlines=deadlines)
        self._writer = self.engine.execution_options(tenantry_write=True)
        # PostgreSQL lets each statement of a transaction see what was committed before it, anyway;
        # without one, a read is one exchange and not three
        autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._reader = self.engine if self.is_sqlite() else autocommit

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that only reads; what is changed in its objects is not kept. SQLite shows one
        moment to all of it, PostgreSQL one to each statement. DatabaseUnavailable where the
        database is locked, full or away, or was waited for too long (`Deadlines`).
        """
        with _known_errors(), Session(self._reader, autoflush=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction: committed at the end, rolled back by any exception.

        DatabaseUnavailable as for `read`. Where the connection broke during the commit itself,
        the transaction may stand all the same: read before doing it again.
        """
        with _known_errors(), Session(self._writer) as session, session.begin():
            yield session

    def let_others(self, seconds: float) -> None:
        """Having written for so long, write nothing for as long, if nobody else could meanwhile:
        who waits for SQLite's lock does not stand in line, and looks for it only now and then.
        """
        if self.is_sqlite():
            self.wait(seconds)

    def is_sqlite(self) -> bool:
        """Whether only one writer at a time is possible."""
        return self.engine.dialect.name == "sqlite"

    def why_unavailable(self) -> str | None:
        """Why the database does not answer, in its own words; None where it does."""
        try:
            with self.engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1")
        except _FAILURES as error:
            return _reason(error)
        return None

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
    except _FAILURES as error:
        said = f"the database failed: {_reason(error)}"
        raise DatabaseUnavailable(said, retry_after=1.0) from None


def _reason(error: Exception) -> str:
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


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


@contextmanager
def write_in_turn(database: Database) -> Iterator[Session]:
    """As `Database.write`, for one of many transactions that follow each other: others that want to
    write come in between.
    """
    with database.write() as session:
        session.connection()  # from here on nobody else can
        began = time.monotonic()
        yield session
    database.let_others(time.monotonic() - began)


def take_turns(session: Session, name: str) -> None:
    """Wait until no other transaction that took turns by this name is under way. SQLite has one
    writer at a time anyway.
    """
    if session.get_bind().dialect.name != "sqlite":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def _insert(session: Session, table: type[Base]) -> sqlite.Insert | postgresql.Insert:
    kind = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    return kind(table)

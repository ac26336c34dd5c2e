"""The engine behind a database: how it is connected to, and how long anything may wait for it.

Nothing waits without end: not for a server that does not answer, not for another's lock, and not
for a process that was stopped in the middle of a transaction and holds what all need. Times are
ordered: such a process loses its transaction before those who wait for it give up.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from tenantry.core.errors import SettingsError

URL_REMEDY = "use sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME"
LOOK_AGAIN = 0.02  # seconds


@dataclass(frozen=True)
class Deadlines:
    """Seconds after which what waits for the database is told that it failed.

    All but `lock` are PostgreSQL's: on SQLite there is no server, and a lock is gone with the
    process that held it.
    """

    connect: float = 5.0  # for a connection; the driver takes whole seconds, two at least
    silence: float = 30.0  # until a peer that vanished counts as gone
    idle: float = 10.0  # between two statements of a transaction, which is then rolled back
    lock: float = 15.0  # for what another transaction holds, or for a connection of the pool
    statement: float = 30.0


def make_engine(url: str, *, pool_size: int, deadlines: Deadlines) -> Engine:
    """An engine that connects when it is first asked to. SettingsError for a URL that is none, or
    of a database that is not supported.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsError("TENANTRY_DATABASE_URL is not a URL", remedy=URL_REMEDY) from None
    if parsed.get_backend_name() == "sqlite":
        arguments: dict[str, Any] = {"timeout": deadlines.lock}
    elif parsed.drivername == "postgresql+psycopg":
        arguments = _of_postgresql(parsed, deadlines)
    else:
        raise SettingsError(
            f"TENANTRY_DATABASE_URL: {parsed.drivername} is not supported", remedy=URL_REMEDY
        )
    engine = create_engine(
        parsed,
        connect_args=arguments,
        hide_parameters=True,
        poolclass=QueuePool,
        pool_size=pool_size,
        pool_timeout=deadlines.lock,
        pool_pre_ping=parsed.get_backend_name() == "postgresql",
    )
    if parsed.get_backend_name() == "sqlite":
        _prepare_sqlite(engine, deadlines)
    return engine


def _of_postgresql(url: URL, deadlines: Deadlines) -> dict[str, Any]:
    """The driver's arguments. What the URL says itself goes before."""
    of_session = {
        "idle_in_transaction_session_timeout": deadlines.idle,
        "lock_timeout": deadlines.lock,
        "statement_timeout": deadlines.statement,
    }
    options = [f"-c {name}={round(value * 1000)}" for name, value in of_session.items()]
    usual = {
        "connect_timeout": round(deadlines.connect),
        "tcp_user_timeout": round(deadlines.silence * 1000),
        # while an answer is awaited there is nothing to send that could be missed
        "keepalives_idle": round(deadlines.silence / 3) or 1,
        "keepalives_interval": round(deadlines.silence / 6) or 1,
    }
    given = url.normalized_query
    arguments = {name: value for name, value in usual.items() if name not in given}
    return {**arguments, "options": " ".join([*options, *given.get("options", ())])}


def _prepare_sqlite(engine: Engine, deadlines: Deadlines) -> None:
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        _enter_wal(cursor, give_up=time.monotonic() + deadlines.lock)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", _begin_sqlite)


def _enter_wal(cursor: sqlite3.Cursor, *, give_up: float) -> None:
    """Have the file in WAL mode, as it stays from then on. SQLite waits for others' locks, but not
    for a writer's where this change is made: of processes that open a new file at once, one is
    refused.
    """
    while True:
        try:
            if cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > give_up:
                raise
            time.sleep(LOOK_AGAIN)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("tenantry_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

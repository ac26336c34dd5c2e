"""No database makes anybody wait without end, nor fail for what a moment's wait would mend."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from tenantry.adapters.database import schema
from tenantry.adapters.database.engine import Deadlines
from tenantry.adapters.database.session import Database, write_in_turn
from tenantry.core.errors import DatabaseUnavailable
from tests.postgres import new_database

HASTY = Deadlines(connect=2, idle=1, lock=0.5, statement=3)
USE = "SELECT count(*) FROM leases"


# SQLite


def test_new_file_that_another_process_is_opening_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite itself refuses at once to change to WAL while anybody else writes."""
    file = tmp_path / "new.db"
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waits = list[float]()

    def wait(seconds: float) -> None:
        waits.append(seconds)
        other.close()

    monkeypatch.setattr(time, "sleep", wait)
    with closing(Database(f"sqlite:///{file}")) as database:
        assert database.why_unavailable() is None
    assert len(waits) == 1


def test_new_file_that_another_process_keeps_is_not_waited_for_without_end(tmp_path: Path) -> None:
    file = tmp_path / "new.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with closing(Database(f"sqlite:///{file}", deadlines=HASTY)) as database:
            assert database.why_unavailable() == "database is locked"


def test_who_writes_again_and_again_lets_others_write_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/tenantry.db"
    clock, rests = count(0.0, 2.0), list[float]()
    with closing(Database(url, deadlines=HASTY)) as other:

        def wait(seconds: float) -> None:
            rests.append(seconds)
            with other.write() as session:
                session.execute(text("INSERT INTO seen VALUES (1)"))

        with closing(Database(url, wait=wait)) as database:
            with database.write() as session:
                session.execute(text("CREATE TABLE seen (number)"))
            monkeypatch.setattr("time.monotonic", lambda: next(clock))
            for _ in range(3):
                with write_in_turn(database) as session:
                    assert len(session.execute(text("SELECT * FROM seen")).all()) == len(rests)
    assert rests == [2.0] * 3  # as long as it was held


def test_who_writes_where_others_can_meanwhile_does_not_rest() -> None:
    rests = list[float]()
    with closing(Database("postgresql+psycopg://x@127.0.0.1/x", wait=rests.append)) as database:
        database.let_others(1)
    assert rests == []


# PostgreSQL


@pytest.fixture
def url(postgres_server: str) -> str:
    return new_database(postgres_server)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with closing(Database(url, deadlines=HASTY)) as database:
        schema.upgrade(database)
        yield database


def plain(url: str) -> psycopg.Connection[Any]:
    """Another client, which sets no deadlines."""
    return psycopg.connect(url.replace("+psycopg", ""))


def test_another_clients_lock_is_not_waited_for_without_end(database: Database, url: str) -> None:
    with plain(url) as other:
        other.execute("LOCK TABLE leases")
        with pytest.raises(DatabaseUnavailable, match="lock timeout"), database.write() as session:
            session.execute(text(USE))
    with database.write() as session:
        session.execute(text(USE))


def test_who_is_stopped_in_a_transaction_holds_nobody(database: Database, url: str) -> None:
    def stop_in_the_middle() -> None:
        with database.write() as stopped:
            stopped.execute(text("LOCK TABLE leases"))
            with closing(Database(url)) as other, other.write() as session:
                session.execute(text(USE))
            stopped.execute(text(USE))

    with pytest.raises(DatabaseUnavailable, match="idle-in-transaction timeout"):
        stop_in_the_middle()
    with database.write() as session:
        session.execute(text(USE))


def test_statement_that_takes_too_long_is_ended(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable, match="statement timeout"), database.read() as session:
        session.execute(text("SELECT pg_sleep(100)"))


def test_connection_of_the_pool_is_not_waited_for_without_end(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Database(url, pool_size=1, deadlines=HASTY)) as database:
        monkeypatch.setattr(database.engine.pool, "_max_overflow", 0)
        with database.read() as session:
            session.execute(text("SELECT 1"))
            with pytest.raises(DatabaseUnavailable, match="QueuePool"), database.read() as other:
                other.execute(text("SELECT 1"))


def test_server_that_accepts_and_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"postgresql+psycopg://x@127.0.0.1:{mute.getsockname()[1]}/x"
        database = Database(url, deadlines=HASTY)
        assert "timeout" in str(database.why_unavailable())
        with pytest.raises(DatabaseUnavailable), database.read() as session:
            session.execute(text("SELECT 1"))


def test_silence_of_a_peer_is_noticed(database: Database) -> None:
    with database.read() as session:
        raw = session.connection().connection.dbapi_connection
        assert raw is not None
        parameters = raw.info.get_parameters()
    assert parameters["tcp_user_timeout"] == "30000"
    assert parameters["keepalives_idle"] == "10"


def test_what_the_url_says_goes_before(url: str) -> None:
    said = "?connect_timeout=7&options=-c%20lock_timeout%3D7s%20-c%20geqo%3Doff"
    with closing(Database(url + said)) as database, database.read() as session:
        shown = [session.scalar(text(f"SHOW {name}")) for name in ("lock_timeout", "geqo")]
        assert shown == ["7s", "off"]
        assert session.scalar(text("SHOW statement_timeout")) == "30s"


def test_a_migration_may_take_its_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """But does not stand in line for a table for long: everybody else would stand behind it."""
    within: dict[str, object] = {}

    def look(config: Config, _revision: str) -> None:
        for name in ("statement", "idle_in_transaction_session", "lock"):
            shown = config.attributes["connection"].scalar(text(f"SHOW {name}_timeout"))
            within[name] = shown

    monkeypatch.setattr(command, "upgrade", look)
    schema.upgrade(database)
    assert within == {
        "statement": "30min", "idle_in_transaction_session": "30min", "lock": "500ms",
    }  # fmt: skip
    with database.read() as session:
        assert session.scalar(text("SHOW statement_timeout")) == "3s"

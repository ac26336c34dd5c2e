"""Somebody holds a row that all need: by a process that was stopped, or by a program of their own.
PostgreSQL only: on SQLite nothing outlives the process that holds it but the file's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from tenantry import wiring
from tenantry.adapters.database.engine import Deadlines
from tenantry.adapters.database.session import Database
from tenantry.core.errors import DatabaseUnavailable
from tenantry.core.limits import Limit, Limits
from tenantry.core.signup import parse_signup
from tenantry.flows.signups.signup import Attempt, signup
from tests.invariants import check_invariants
from tests.postgres import new_database
from tests.system.world import PASSWORD, World, make_world

# `idle` is that of a process that is stopped, `lock` that of those who wait for others
HASTY, PATIENT = Deadlines(idle=0.5, lock=1), Deadlines(idle=0.5)
LIMITS = Limits(total=Limit(100, timedelta(hours=1)))
HELD = {
    "the count of all signups": "SELECT * FROM rate_limits WHERE scope = 'total' FOR UPDATE",
    "a tenant": "SELECT * FROM tenants FOR UPDATE",
}
Make = Callable[[Deadlines], World]


@pytest.fixture
def make(tmp_path: Path, postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes the one world, in which somebody has signed up and is not published yet."""
    with ExitStack() as made:

        def make(deadlines: Deadlines) -> World:
            monkeypatch.setattr(wiring, "Database", partial(Database, deadlines=deadlines))
            world = make_world(tmp_path, new_database(postgres_server))
            made.callback(world.service.database.close)
            made.callback(check_invariants, world.service, canaries=[PASSWORD])
            sign_up(world, 1)
            return world

        yield make


def sign_up(world: World, number: int) -> str:
    fields = {"email": f"{number}@example.com", "password": PASSWORD, "company_name": "Company"}
    request = parse_signup(fields, rules=world.service.password_rules)
    service = replace(world.service, signup_limits=LIMITS)
    attempt = Attempt(network="192.0.2.1", key=f"key-{number}")
    return signup(service, request, now=world.clock(), attempt=attempt).customer_id


def use(world: World, what: str) -> int:
    """How many were served who need the row."""
    if what == "a tenant":
        return len(world.publish().tenants)
    return len({sign_up(world, 2)})


@pytest.mark.parametrize("what", HELD)
def test_process_that_was_stopped_in_a_transaction_loses_it(make: Make, what: str) -> None:
    world = make(PATIENT)

    def stop_in_the_middle() -> None:
        with closing(same_database(world)) as other, other.write() as session:
            assert session.execute(text(HELD[what])).all()
            assert use(world, what) == 1
            session.execute(text(HELD[what]))

    with pytest.raises(DatabaseUnavailable, match="idle-in-transaction"):
        stop_in_the_middle()


@pytest.mark.parametrize("what", HELD)
def test_who_waits_for_another_program_is_told_so_and_tries_again(make: Make, what: str) -> None:
    world = make(HASTY)
    with plain(world) as other:
        assert other.execute(HELD[what].encode()).fetchall()
        with pytest.raises(DatabaseUnavailable, match="lock timeout"):
            use(world, what)
    assert use(world, what) == 1


def same_database(world: World) -> Database:
    url = world.service.database.engine.url.render_as_string(hide_password=False)
    return Database(url, deadlines=PATIENT)


def plain(world: World) -> psycopg.Connection[Any]:
    """Another program's connection, which has no deadlines."""
    url = world.service.database.engine.url.set(drivername="postgresql")
    return psycopg.connect(url.render_as_string(hide_password=False))

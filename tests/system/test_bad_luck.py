"""What a machine can do to the service: its clock, its disk, its database."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from tenantry import wiring
from tenantry.adapters import process
from tenantry.adapters.database.engine import Deadlines
from tenantry.adapters.database.session import Database
from tenantry.adapters.database.tables import Customer, LeaseRow, Outbox
from tenantry.adapters.git import Before
from tenantry.core.errors import DatabaseUnavailable, RepositoryError
from tenantry.flows.mailing.sending import send_due
from tenantry.flows.signups.signup import SignedUp
from tests.faults import Died, Fault, Kind, Life, live
from tests.invariants import check_invariants
from tests.mailbox import mail_folder
from tests.postgres import Server, new_database, own_server
from tests.system.world import PASSWORD, World, make_world

HOUR = timedelta(hours=1)


def mail(world: World) -> int:
    return send_due(world.service)


# The clock


def test_clock_set_back_keeps_no_failed_publishing_waiting(world: World) -> None:
    signed_up = world.sign_up()
    world.remote.rename(away := world.folder / "away.git")
    for _ in range(3):
        with pytest.raises(RepositoryError):
            world.publish()
        world.wait()
    away.rename(world.remote)
    world.clock.time -= HOUR
    assert world.publish().tenants.keys() == {signed_up.customer_id}


def test_clock_set_back_keeps_no_mail_waiting(world: World) -> None:
    """One that failed, and one whose mailer died."""
    world.sign_up()
    with world.service.database.write() as session:
        session.scalars(select(Outbox)).one().attempts = 5
    folder = mail_folder(world.service)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.touch()
    assert mail(world) == 0
    folder.unlink()
    world.sign_up()
    die_while_mailing(world)
    world.clock.time -= 3 * HOUR
    assert mail(world) == 2


def test_clock_set_back_between_signup_and_publishing_leaves_times_in_order(world: World) -> None:
    world.sign_up()
    world.clock.time -= HOUR
    assert len(world.publish().tenants) == 1


def test_lease_of_a_time_to_come_binds_nobody(world: World) -> None:
    """The database's clock was set back since it was taken."""
    signed_up = world.sign_up()
    row = LeaseRow(name="publisher/main", holder="dead", until=4e9)
    with world.service.database.write() as session:
        session.add(row)
    assert world.publish().tenants.keys() == {signed_up.customer_id}


def die_while_mailing(world: World) -> None:
    life = Life(Fault("mailbox.send", 1, Kind.DIE_BEFORE))
    dying = live(world.service, life, clones=world.folder / "clones")
    with pytest.raises(Died):
        send_due(dying)


# SQLite


@pytest.fixture
def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world on SQLite in which a writer waits only a moment for another."""
    hasty = partial(Database, deadlines=Deadlines(lock=0.05))
    monkeypatch.setattr(wiring, "Database", hasty)
    world = make_world(tmp_path, f"sqlite:///{tmp_path}/tenantry.db")
    yield world
    check_invariants(world.service, canaries=[PASSWORD])
    world.service.database.close()


def test_database_locked_for_long_is_an_error_and_later_all_is_done(impatient: World) -> None:
    world = impatient
    waiting = world.sign_up().customer_id
    with locked(world):
        for refused in (world.sign_up, world.publish, lambda: mail(world)):
            with pytest.raises(DatabaseUnavailable, match="locked"):
                refused()
    assert count_customers(world) == 1
    late = world.sign_up().customer_id
    assert world.publish().tenants.keys() == {waiting, late}
    assert mail(world) == 2


def test_database_locked_after_the_push_doubles_nothing(
    impatient: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = impatient
    signed_up = world.sign_up()
    push = world.cell.repository.push
    lock = locked(world)

    def push_and_lock(branches: Mapping[str, str]) -> Before:
        before = push(branches)
        lock.__enter__()
        return before

    with monkeypatch.context() as patch:
        patch.setattr(world.cell.repository, "push", push_and_lock)
        with pytest.raises(DatabaseUnavailable):
            world.publish()
    lock.__exit__(None, None, None)
    world.wait()
    assert world.publish().tenants.keys() == {signed_up.customer_id}
    assert len(world.tenant_commits()) == 1


@contextmanager
def locked(world: World) -> Iterator[None]:
    """Another program writes, and takes its time."""
    writer = sqlite3.connect(world.folder / "tenantry.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        writer.close()


# PostgreSQL


@pytest.fixture
def crashing(tmp_path: Path) -> Iterator[tuple[World, Server]]:
    """A world on a PostgreSQL server of its own."""
    with own_server() as server:
        world = make_world(tmp_path, new_database(server.url))
        yield world, server
        check_invariants(world.service, canaries=[PASSWORD])
        world.service.database.close()


def crash(server: Server) -> None:
    server.stop(signal.SIGQUIT)
    server.start()


def test_database_that_crashed_between_two_steps_is_not_even_noticed(
    crashing: tuple[World, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, server = crashing
    signed_up = world.sign_up()
    crash(server)
    push = world.cell.repository.push

    def push_and_crash(branches: Mapping[str, str]) -> Before:
        before = push(branches)
        crash(server)
        return before

    monkeypatch.setattr(world.cell.repository, "push", push_and_crash)
    assert world.publish().tenants.keys() == {signed_up.customer_id}
    crash(server)
    assert mail(world) == 1


def test_database_that_crashes_in_a_transaction_or_stays_away_loses_nothing(
    crashing: tuple[World, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, server = crashing
    with pytest.raises(DatabaseUnavailable):
        sign_up_and_crash(world, server)
    assert count_customers(world) == 0
    signed_up = world.sign_up()
    push = world.cell.repository.push

    def push_and_stop(branches: Mapping[str, str]) -> Before:
        before = push(branches)
        server.stop(signal.SIGQUIT)
        return before

    with monkeypatch.context() as patch:
        patch.setattr(world.cell.repository, "push", push_and_stop)
        with pytest.raises(DatabaseUnavailable):
            world.publish()
    with pytest.raises(DatabaseUnavailable):
        world.sign_up()
    server.start()
    let_lease_run_out(world)
    assert world.publish().tenants.keys() == {signed_up.customer_id}
    assert len(world.tenant_commits()) == 1


def sign_up_and_crash(world: World, server: Server) -> SignedUp:
    """The server crashes while the transaction is open: something is wrapped in it."""

    class Vault:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def wrap(self, value: str) -> bytes:
            crash(server)
            return real.wrap(value)

    real, service = world.service.vault, world.service
    world.service = replace(service, vault=Vault())  # type: ignore[arg-type]
    try:
        return world.sign_up()
    finally:
        world.service = service


def let_lease_run_out(world: World) -> None:
    """Its holder could not give it back."""
    with world.service.database.write() as session:
        for row in session.scalars(select(LeaseRow)):
            row.until = 0.0


# The disk

CHILD = """
import resource, sys
from datetime import datetime
from pathlib import Path
from tenantry.core.errors import TenantryError
from tests.system import world
folder, url, act, limit, now = sys.argv[1:]
place = world.make_world(Path(folder), url)
place.clock.time = datetime.fromisoformat(now)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    place.sign_up(email="late@example.com") if act == "sign up" else place.publish()
except TenantryError as error:
    print(error.code)
else:
    print("done")
"""


@pytest.mark.parametrize("act", ["sign up", "publish"])
@pytest.mark.parametrize("limit", [0, 4096, 40_000])
def test_disk_that_is_full_is_an_error_and_later_all_is_done(
    world: World, act: str, limit: int
) -> None:
    """A process of its own that may write no file larger than the limit (RLIMIT_FSIZE)."""
    waiting = world.sign_up().customer_id
    said = run_with_small_files(world, act, limit)
    is_known = count_customers(world) == 2
    assert said in {"done", "database_unavailable", "repository", "program_failed", "sealing"}
    assert is_known == (act == "sign up" and said == "done")
    if limit == 0 and (act == "publish" or world.service.database.is_sqlite()):
        assert said != "done", "the limit was not felt"
    let_lease_run_out(world)
    world.wait()
    world.publish()
    assert world.tenant(waiting).published_generation == 1
    assert len(world.tenant_commits()) == count_customers(world)


def run_with_small_files(world: World, act: str, limit: int) -> str:
    url = world.service.database.engine.url.render_as_string(hide_password=False)
    now = world.clock().isoformat()
    arguments = [str(world.folder), url, act, str(limit), now]
    root = Path(__file__).parents[2]
    environment = os.environ | {"PATH": process.search_path(), "PYTHONPATH": os.pathsep.join(
        [str(root / "service"), str(root)])}  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()[-1]


def count_customers(world: World) -> int:
    with world.service.database.read() as session:
        return session.scalar(select(func.count()).select_from(Customer)) or 0

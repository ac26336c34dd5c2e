"""One holder at a time, on both databases; a dead one is succeeded."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import select, update
from structlog.testing import capture_logs

from tenantry.adapters.database import schema
from tenantry.adapters.database.lease import Lease
from tenantry.adapters.database.session import Database
from tenantry.adapters.database.tables import LeaseRow

WITHIN = 20.0  # seconds; only a broken lease takes them
VALUE = "what must not be logged"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    schema.upgrade(database)
    yield database
    database.close()


def take_within(lease: Lease, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not (taken := lease.take()) and time.monotonic() < end:
        threading.Event().wait(0.02)
    return taken


def until(database: Database) -> float:
    with database.read() as session:
        return session.scalars(select(LeaseRow.until)).one()


def test_one_of_many_holds_it(database: Database) -> None:
    leases = [Lease(database, "l") for _ in range(8)]
    taken = list[bool]()
    start = threading.Barrier(len(leases))

    def race(lease: Lease) -> None:
        start.wait()
        taken.append(lease.take())

    threads = [threading.Thread(target=race, args=(lease,)) for lease in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 7 + [True]
    assert [lease.is_ours for lease in leases].count(True) == 1
    assert [lease.held_by_another() for lease in leases].count(False) == 1


def test_other_name_is_another_lease(database: Database) -> None:
    assert Lease(database, "a").take()
    assert Lease(database, "b").take()


def test_released_lease_is_free_at_once(database: Database) -> None:
    first, second = Lease(database, "l"), Lease(database, "l")
    first.take()
    second.release()
    assert not second.take(), "a lease is let go by its holder alone"
    first.release()
    assert not first.is_ours
    assert second.take()


def test_dead_holder_is_succeeded(database: Database) -> None:
    assert Lease(database, "l", length=1.0).take()
    heir = Lease(database, "l", length=1.0)
    assert not heir.take()
    assert take_within(heir, WITHIN)


def test_holder_that_slept_knows_that_it_lost_it(database: Database) -> None:
    sleeper, heir = Lease(database, "l", length=1.0), Lease(database, "l", length=1.0)
    with sleeper.kept():
        assert not sleeper.is_ours, "it was never taken"
    sleeper.take()
    assert take_within(heir, WITHIN)
    assert not sleeper.is_ours
    assert not sleeper.take()


def test_holder_that_slept_while_nobody_wanted_it_has_it_still(database: Database) -> None:
    sleeper, heir = Lease(database, "l", length=0.2), Lease(database, "l", length=0.2)
    sleeper.take()
    time.sleep(0.3)
    assert not heir.held_by_another(), "it ran out"
    assert sleeper.keep()
    assert sleeper.is_ours
    assert take_within(heir, WITHIN)
    heir.release()
    assert not sleeper.keep(), "somebody else has had it in between"


def test_taking_it_again_keeps_it_for_another_length(database: Database) -> None:
    lease = Lease(database, "l", length=3 * WITHIN)
    lease.take()
    first, end = until(database), time.monotonic() + WITHIN
    while until(database) == first:  # a database's clock may be that coarse
        assert time.monotonic() < end
        assert lease.take()


def test_heartbeat_keeps_it_while_work_lasts(database: Database) -> None:
    holder, other = Lease(database, "l", length=1.0), Lease(database, "l", length=1.0)
    holder.take()
    taken, end = until(database), time.monotonic() + WITHIN
    with holder.kept():
        while until(database) < taken + 2.0:
            assert time.monotonic() < end
            assert not other.take()
            threading.Event().wait(0.05)
        assert holder.is_ours


def test_database_whose_clock_was_set_back_locks_nobody_out(database: Database) -> None:
    Lease(database, "l").take()
    with database.write() as session:
        session.execute(update(LeaseRow).values(until=LeaseRow.until + 3600))
    assert not Lease(database, "l").held_by_another()
    assert Lease(database, "l").take()


def test_crash_of_the_heartbeat_is_logged_without_the_values_it_quotes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = Lease(database, "l", length=0.3)
    assert lease.take()

    def crash() -> bool:
        raise KeyError(VALUE)

    monkeypatch.setattr(lease, "keep", crash)
    with capture_logs() as entries, lease.kept():
        give_up = time.monotonic() + WITHIN
        while not entries and time.monotonic() < give_up:
            threading.Event().wait(0.02)
    (entry,) = entries
    assert entry["event"] == "lease.crashed"
    assert VALUE not in str(entry)

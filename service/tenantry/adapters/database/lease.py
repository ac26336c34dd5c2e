"""A lease: one process at a time does a thing, and a dead one is succeeded within seconds.

Owns: the row in `leases`, and a heartbeat while a pass runs. Time is the database's, so that hosts
whose clocks disagree still agree on who holds it.

Do not: rely on it for correctness. A holder that slept past its lease does not know; what fences it
is whatever it writes to (a ref, a row's generation). A lease only saves doing work twice.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy import Float, delete, func, literal_column, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import ColumnElement

from tenantry.adapters.database.session import Database
from tenantry.adapters.database.tables import LeaseRow
from tenantry.core.errors import DatabaseUnavailable
from tenantry.core.frames import frames

log = structlog.get_logger()
LENGTH = 3.0  # seconds
BEATS = 3  # heartbeats within one length


class Lease:
    """The right to do `name`, as one holder among many sees it. `length` is in seconds."""

    def __init__(self, database: Database, name: str, *, length: float = LENGTH) -> None:
        self._database = database
        self._name = name
        self._length = length
        self._holder = uuid.uuid4().hex
        self._ours_until = 0.0  # by our own monotonic clock; early rather than late

    def of_another(self) -> Lease:
        """The same lease as a further holder sees it, such as another thread's."""
        return Lease(self._database, self._name, length=self._length)

    @property
    def is_ours(self) -> bool:
        """Whether it was ours when last asked and cannot have passed to somebody else since."""
        return time.monotonic() < self._ours_until

    def held_by_another(self) -> bool:
        """Whether somebody else holds it now; costs a read and waits for nobody."""
        row = select(LeaseRow.holder).where(
            LeaseRow.name == self._name,
            LeaseRow.holder != self._holder,
            LeaseRow.until >= self._now(),
            LeaseRow.until <= self._now() + self._length,
        )
        with self._database.read() as session:
            return session.scalar(row) is not None

    def holder(self) -> str | None:
        """Who holds it now; None where nobody does."""
        now = self._now()
        row = select(LeaseRow.holder).where(
            LeaseRow.name == self._name, LeaseRow.until >= now, LeaseRow.until <= now + self._length
        )
        with self._database.read() as session:
            return session.scalar(row)

    def take(self) -> bool:
        """Take it, or keep it for another length; False where somebody else holds it."""
        asked_at = time.monotonic()
        values = {"name": self._name, "holder": self._holder, "until": self._now() + self._length}
        is_free = or_(
            LeaseRow.holder == self._holder,
            LeaseRow.until < self._now(),
            LeaseRow.until > self._now() + self._length,  # the clock was set back: nobody's promise
        )
        insert = sqlite.insert if self._database.is_sqlite() else postgresql.insert
        taking = insert(LeaseRow).values(values)
        taking = taking.on_conflict_do_update(
            index_elements=[LeaseRow.name],
            set_={"holder": taking.excluded.holder, "until": taking.excluded.until},
            where=is_free,
        )
        with self._database.write() as session:
            taken = session.scalar(taking.returning(LeaseRow.name)) is not None
        self._ours_until = asked_at + self._length if taken else 0.0
        return taken

    def keep(self) -> bool:
        """Keep it for another length; False where somebody else has had it, whether or not it is
        free by now. One that ran out while nobody wanted it is still ours.
        """
        asked_at = time.monotonic()
        ours = LeaseRow.name == self._name, LeaseRow.holder == self._holder
        keeping = update(LeaseRow).where(*ours).values(until=self._now() + self._length)
        with self._database.write() as session:
            kept = session.scalar(keeping.returning(LeaseRow.name)) is not None
        self._ours_until = asked_at + self._length if kept else 0.0
        return kept

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep it alive while the block runs. Once lost it stays lost in there: `keep` tells."""
        done = threading.Event()
        heartbeat = threading.Thread(target=self._beat, args=(done,), daemon=True, name="heartbeat")
        heartbeat.start()
        try:
            yield
        finally:
            done.set()
            heartbeat.join()

    def release(self) -> None:
        """Let somebody else have it at once."""
        self._ours_until = 0.0
        ours = delete(LeaseRow).where(LeaseRow.name == self._name, LeaseRow.holder == self._holder)
        with self._database.write() as session:
            session.execute(ours)

    def _beat(self, done: threading.Event) -> None:
        while not done.wait(self._length / BEATS):
            try:
                if not self.keep():
                    return
            except DatabaseUnavailable:
                continue  # it runs out if this lasts, and the pass sees that
            except Exception as error:  # noqa: BLE001 - logged, without the values it may quote
                log.error("lease.crashed", lease=self._name, frames=frames(error))
                return

    def _now(self) -> ColumnElement[float]:
        """The database's clock, in seconds since 1970."""
        if self._database.is_sqlite():
            return literal_column("((julianday('now') - 2440587.5) * 86400.0)", Float)
        return func.extract("epoch", func.clock_timestamp()).cast(Float)

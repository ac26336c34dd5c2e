"""A year, played: the real rows, licenses and flows; Git, mail server and reviewers are one
statement each, on a clock that sleeps, goes back and jumps.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select, update

from tenantry.adapters.database.tables import Audit, Change, Deployment, Outbox, Tenant
from tenantry.core.review import ChangeKind
from tenantry.core.signup import Person
from tenantry.core.subscription import Event, EventKind
from tenantry.flows.outbox import IS_WAITING
from tenantry.flows.reviewing.applying import make
from tenantry.flows.reviewing.changes import request_change
from tenantry.flows.rows import locked
from tenantry.flows.service import Service
from tenantry.flows.signups.customer import create_customer
from tenantry.flows.subscriptions import following
from tenantry.flows.subscriptions.events import Told, tell
from tests.lives.judge import Judge
from tests.lives.oracle import Fact
from tests.lives.stories import BEGINNING, DAY, END, HOUR, Story, draw
from tests.system.world import World

HASH = "$argon2id$v=19$m=65536,t=3,p=4$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA"
GAPS = (1, 5, 11, 16)  # hours between looks
SPELLS = 6  # times a year that the worker is down, no mail can be sent, or the clock is back

Happening = tuple[datetime, int, Callable[[], None]]


@dataclass
class Year:
    """Of so many customers. `review`: whether a person has to merge all but signups."""

    world: World
    seed: int
    people: int
    review: bool = False
    judges: dict[str, Judge] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 - no secret
        self.down = list(self._spells((1, 4, 9)))
        self.mute = list(self._spells((1, 3, 6)))
        self.back = [
            (*spell, self.chance.choice((HOUR, 2 * DAY))) for spell in self._spells((1, 6))
        ]
        self.latest = BEGINNING
        self.has_news = False
        self.seen: Sequence[Row[Any]] = ()

    def play(self) -> None:
        """AssertionError at the first thing that is wrong, with the customer's story."""
        happens = iter(sorted(self._all(), key=lambda each: each[:2]))
        ahead = next(happens, None)
        now = BEGINNING
        with ThreadPoolExecutor(2) as self.workers:
            while now < END:
                now += self.chance.choice(GAPS) * HOUR
                while ahead and ahead[0] <= now:
                    self._set_clock(ahead[0])
                    ahead[2]()
                    self.has_news = True
                    ahead = next(happens, None)
                self._look(now)
        for judge in self.judges.values():
            judge.sum_up()
        self._settle()

    def _spells(self, days: tuple[int, ...]) -> Iterator[tuple[datetime, datetime]]:
        """Days apart: no license need hold through two of them."""
        for number in range(SPELLS):
            begins = BEGINNING + timedelta(days=number * 58 + self.chance.uniform(5, 45))
            yield begins, begins + self.chance.choice(days) * DAY

    def _all(self) -> Iterator[Happening]:
        for number in range(self.people):
            story = draw(self.chance, number)
            ids: list[str] = []  # once signed up
            yield story.life.started, 0, self._signup(number, story, ids)
            for at, fact in story.told:
                yield at, 1, self._telling(fact, ids)
            for at, state in story.orders:
                yield at, 1, self._order(state, ids)

    # What happens

    def _signup(self, number: int, story: Story, ids: list[str]) -> Callable[[], None]:
        person = Person(
            email=f"customer-{number}@example.com",
            company_name=f"Company {number}",
            time_zone=story.life.zone,
        )

        def happen() -> None:
            service = self.service
            self.world.clock.time = story.life.started  # by the clock that was right
            with service.database.write() as session:
                ids.append(
                    create_customer(
                        service, session, person, HASH, now=story.life.started
                    ).customer_id
                )
            self.judges[ids[0]] = Judge(service, ids[0], story, is_reviewed=self.review)

        return happen

    def _telling(self, fact: Fact, ids: list[str]) -> Callable[[], None]:
        kind = EventKind(fact.kind)
        event = Event(fact.id, kind, fact.at, fact.plan, fact.until, receipt=fact.id)

        def happen() -> None:
            told = Told(event, f"test.{fact.kind}", "billing", customer_id=ids[0])
            assert tell(self.service, told) == (fact not in self.judges[ids[0]].facts)
            self.judges[ids[0]].facts.add(fact)

        return happen

    def _order(self, state: str, ids: list[str]) -> Callable[[], None]:
        def happen() -> None:
            tenant = self.world.tenant(ids[0])
            if tenant.approved["state"] == state:
                return
            fields = {"state": state}
            request_change(
                self.service, self.service.cells["main"], ids[0], ChangeKind.STATE, fields,
                actor="operator",
            )  # fmt: skip
            self.judges[ids[0]].order(state)

        return happen

    # What the service does

    @property
    def service(self) -> Service:
        return self.world.service

    def _set_clock(self, at: datetime) -> datetime:
        back = [by for begins, ends, by in self.back if begins <= at < ends]
        self.world.clock.time = now = at - max(back, default=timedelta())
        self.latest = max(now, self.latest)
        return now

    def _look(self, at: datetime) -> None:
        now = self._set_clock(at)
        is_up, is_mute = not _is_in(self.down, at), _is_in(self.mute, at)
        if is_up:
            self._work(now, is_mute=is_mute)
        is_back = now < self.latest
        if self.has_news:
            with self.service.database.read() as session:
                self.seen = session.execute(_SEEN).all()
        self.has_news = self.has_news and (is_mute or not is_up)  # it has to go out yet
        for row in self.seen:
            judge = self.judges[row.customer_id]
            judge.look(row, now, is_up=is_up, is_mute=is_mute, is_back=is_back)

    def _work(self, now: datetime, *, is_mute: bool) -> None:
        if self.chance.random() < 0.1:  # two workers at once
            both = self.workers.map(lambda _: self._follow(now), range(2))
            self.has_news = any(list(both)) or self.has_news
        self.has_news = self._follow(now) or self.has_news
        if self.review and self.chance.random() < 0.4:  # of all looks
            self._merge(now)
            self.has_news = True
        if self.has_news:
            self._publish()
            if not is_mute:
                self._send(now)

    def _follow(self, now: datetime) -> bool:
        return following.follow_due(self.service, now=now) > 0

    def _publish(self) -> None:
        with self.service.database.write() as session:
            session.execute(_PUBLISH)

    def _send(self, now: datetime) -> None:
        with self.service.database.write() as session:
            letters = session.execute(_LETTERS).all()
            session.execute(update(Outbox).where(*IS_WAITING).values(sent_at=now))
        for letter in letters:
            self.judges[letter.customer_id].receive(letter.kind, letter.period, now, self.latest)

    def _merge(self, now: datetime) -> None:
        """Reviewers merge all that waits."""
        with self.service.database.write() as session:
            waits = session.scalars(select(Change).where(Change.outcome.is_(None))).all()
            for tenant in locked(session, {change.customer_id for change in waits}):
                mine = [each for each in waits if each.customer_id == tenant.customer_id]
                make(self.service, session, tenant, mine, by="reviewer", now=now)

    def _settle(self) -> None:
        """What the real publisher would have written beside."""
        with self.service.database.write() as session:
            session.execute(_PUBLISH)
            for row in session.scalars(select(Deployment)):
                row.published_at = row.wanted_at
                session.add(_published(row))


_SEEN = select(Tenant.customer_id, Tenant.approved, Tenant.published_spec, Tenant.generation)
_LETTERS = (
    select(Outbox.customer_id, Outbox.kind, Outbox.period).where(*IS_WAITING).order_by(Outbox.id)
)
_PUBLISH = (
    update(Tenant)
    .where(Tenant.published_generation < Tenant.generation)
    .values(published_generation=Tenant.generation, published_spec=Tenant.approved)
    .execution_options(synchronize_session=False)
)


def _is_in(spells: Sequence[tuple[datetime, datetime]], at: datetime) -> bool:
    return any(begins <= at < ends for begins, ends in spells)


def _published(row: Deployment) -> Audit:
    return Audit(
        at=row.wanted_at,
        actor="publisher",
        action="tenant.published",
        customer_id=row.customer_id,
        details={"generation": row.generation},
    )

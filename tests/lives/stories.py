"""What happens to a customer: drawn at random, told late, twice and out of order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.lives.oracle import Fact, Life

BEGINNING = datetime(2027, 3, 1, tzinfo=UTC)  # summer time comes and goes, then a leap day
LAST_SIGNUP, END = BEGINNING + timedelta(days=330), BEGINNING + timedelta(days=366)
MONTH, DAY, HOUR = timedelta(days=30), timedelta(days=1), timedelta(hours=1)
PLANS = ("starter", "professional", "enterprise")
ZONES = (
    "UTC",
    "Europe/Zurich",
    "America/New_York",
    "America/Havana",  # midnight happens twice
    "Africa/Cairo",  # midnight is skipped
    "America/Santiago",
    "Australia/Lord_Howe",  # half an hour of summer time
    "Asia/Kathmandu",
    "Pacific/Kiritimati",
    "Pacific/Niue",
)


@dataclass
class Story:
    """Of one customer. `told`: when each fact arrives; `orders`: states that an operator chose."""

    life: Life
    told: list[tuple[datetime, Fact]] = field(default_factory=list)
    orders: list[tuple[datetime, str]] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"signed up {self.life.started} in {self.life.zone}"]
        lines += [f"{at} told: {fact}" for at, fact in sorted(self.told)]
        return "\n".join(lines + [f"{at} operator: {state}" for at, state in self.orders])


def draw(chance: random.Random, number: int) -> Story:
    """The same for each seed."""
    seconds = chance.uniform(0, (LAST_SIGNUP - BEGINNING).total_seconds())
    started = BEGINNING + timedelta(seconds=int(seconds))
    story = Story(Life(started, chance.choice(ZONES)))
    facts = [fact._replace(id=f"{number}-{n}") for n, fact in enumerate(_facts(chance, started))]
    story.told = [each for fact in facts if fact.at < END for each in _tell(chance, fact)]
    if chance.random() < 0.3:
        story.orders = list(_orders(chance, started))
    return story


def _facts(chance: random.Random, started: datetime) -> Iterator[Fact]:
    if chance.random() < 0.15:
        yield Fact(at := _after(chance, started, 1, 20), "cancelled", "")
        if chance.random() < 0.5:
            yield Fact(_after(chance, at, 0, 6), "resumed", "")
    if chance.random() < 0.3:
        return
    at = _after(chance, started, 0, 25)
    for _ in range(chance.choice((1, 2, 4, 12))):
        until = at + MONTH if chance.random() < 0.9 else None
        yield Fact(at, "paid", "", chance.choice(PLANS), until)
        yield from _within(chance, at, until)
        at = (until or at + MONTH) + timedelta(hours=chance.randrange(40))
        if chance.random() < 0.3:
            yield Fact(at, "payment_failed", "")
            at = _after(chance, at, 0, 26)


def _within(chance: random.Random, paid_at: datetime, until: datetime | None) -> Iterator[Fact]:
    """What happens in a month that is paid for, or after it."""
    what = chance.random()
    at = _after(chance, paid_at, 0, 40)
    if what < 0.15:
        yield Fact(at, "plan", "", chance.choice(PLANS))
    elif what < 0.3:
        yield Fact(at, "cancelled", "", until=chance.choice((until, None)))
        if chance.random() < 0.5:  # and once more, when it is over
            yield Fact(_after(chance, at, 0, 20), "cancelled", "")
        if chance.random() < 0.4:
            yield Fact(_after(chance, at, 0, 20), "resumed", "")
        if chance.random() < 0.3:  # what was owed
            yield Fact(_after(chance, at, 0, 20), "paid", "", until=until)
    elif what < 0.4:
        yield Fact(at, "payment_failed", "")
        yield Fact(_after(chance, at, 0, 20), "paid", "", until=until)


def _after(chance: random.Random, at: datetime, least: int, most: int) -> datetime:
    days = timedelta(days=chance.uniform(least, most))
    return (at + days).replace(microsecond=0)


def _tell(chance: random.Random, fact: Fact) -> Iterator[tuple[datetime, Fact]]:
    late = timedelta(seconds=chance.choice((5, 60, 7200, 180_000)))
    yield fact.at + late, fact
    if chance.random() < 0.2:
        yield _after(chance, fact.at + late, 0, 9), fact


def _orders(chance: random.Random, started: datetime) -> Iterator[tuple[datetime, str]]:
    yield (at := _after(chance, started, 0, chance.choice((14, 60)))), "suspended"
    if chance.random() < 0.7:
        yield _after(chance, at, 1, 20), "active"

"""How much somebody may ask for in a while (R8): GCRA, a bucket that is one instant per subject.

What is stored is `full_at`: when all of the limit is free again. Each admitted attempt moves it on
by `period / count`; one that would move it further than a whole period ahead is refused and moves
nothing, so waiting always helps. At most `count` are admitted at once, and in any span of time
not more than `count` plus what that time gives back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

_PERIODS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
_TEXT = re.compile(rf"([1-9][0-9]{{0,5}})/({'|'.join(_PERIODS)})")
HINT = "give it as 5/hour, 100/minute or none (second, minute, hour, day; at most 999999)"


@dataclass(frozen=True)
class Limit:
    """`count` attempts in each `period`; all of them may come at once."""

    count: int
    period: timedelta

    @property
    def interval(self) -> timedelta:
        """After how long one more is free; rounded up to a microsecond."""
        return -(-self.period // self.count)

    @property
    def span(self) -> timedelta:
        """How long it takes until all is free again, at most."""
        return self.interval * self.count


@dataclass(frozen=True)
class Limits:
    """What signups are limited by; None: not at all."""

    email: Limit | None = None
    address: Limit | None = None
    total: Limit | None = None

    def __bool__(self) -> bool:
        return any((self.email, self.address, self.total))


@dataclass(frozen=True)
class Verdict:
    """On one attempt: `full_at` is to be stored if it is admitted; `wait` says how long until it
    would be, zero where it is now.
    """

    full_at: datetime
    wait: timedelta


def parse_limit(text: str) -> Limit | None:
    """`5/hour` as a limit, `none` as None; ValueError with a hint for everything else."""
    if text == "none":
        return None
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(f"is not a limit: {HINT}")
    return Limit(int(found[1]), _PERIODS[found[2]])


def judge(limit: Limit, full_at: datetime | None, now: datetime) -> Verdict:
    """Whether one more attempt at `now` is within the limit, given what is stored of the subject.

    Where the clock was set back, what is stored lies further ahead than it can: it counts as
    a limit that was just used up, so nobody waits for longer than a period.
    """
    latest = now + limit.span
    begins = now if full_at is None else min(max(full_at, now), latest)
    after = begins + limit.interval
    return Verdict(after, max(after - latest, timedelta(0)))

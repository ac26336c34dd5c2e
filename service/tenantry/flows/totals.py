"""All deployments ever, counted for Prometheus: how they ended, and how long their steps took.

What was wanted long ago changes no more, or hardly: it is counted once a day in each process, and
the rest at each scrape, so that a scrape costs what a week's deployments cost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from tenantry.adapters.database.session import Database
from tenantry.adapters.database.tables import Deployment
from tenantry.flows.figures import measured, outcomes

BOUNDS = (1, 2, 5, 10, 20, 30, 60, 120, 180, 300, 600, 1800)  # seconds
SETTLED = timedelta(days=7)  # after which nothing is expected to come

Group = tuple[str, bool, str]  # kind, synthetic, step or outcome


@dataclass(frozen=True)
class Counts:
    """How many there were, their seconds together, and how many were at most each of `BOUNDS`."""

    times: int
    seconds: float
    upto: tuple[int, ...]

    def __add__(self, other: Counts) -> Counts:
        upto = tuple(a + b for a, b in zip(self.upto, other.upto, strict=True))
        return Counts(self.times + other.times, self.seconds + other.seconds, upto)


_NONE = Counts(0, 0.0, (0,) * len(BOUNDS))


@dataclass(frozen=True)
class Totals:
    """By kind and whether synthetic: the time of each step, and the number of each outcome."""

    steps: Mapping[Group, Counts]
    outcomes: Mapping[Group, int]

    def __add__(self, other: Totals) -> Totals:
        steps = {
            group: self.steps.get(group, _NONE) + other.steps.get(group, _NONE)
            for group in {**self.steps, **other.steps}
        }
        return Totals(steps, Counter(self.outcomes) + Counter(other.outcomes))


# until when it was counted, and what; of this process
_SETTLED: WeakKeyDictionary[Database, tuple[datetime, Totals]] = WeakKeyDictionary()


def read_totals(database: Database, session: Session, now: datetime) -> Totals:
    """All deployments; of those that are older than `SETTLED`, as they were today at first."""
    border = (now - SETTLED).replace(hour=0, minute=0, second=0, microsecond=0)
    counted, old = _SETTLED.get(database, (None, Totals({}, {})))
    if counted != border:
        old = _count(session, Deployment.wanted_at < border)
        _SETTLED[database] = border, old
    return old + _count(session, Deployment.wanted_at >= border)


def _count(session: Session, *chosen: Any) -> Totals:
    ends = {
        (row.kind, bool(row.synthetic), row.outcome): row.times
        for row in outcomes(session, *chosen)
    }
    return Totals(_count_steps(session, *chosen), ends)


def _count_steps(session: Session, *chosen: Any) -> dict[Group, Counts]:
    steps = measured(session, *chosen)
    upto = [func.sum(case((steps.c.seconds <= bound, 1), else_=0)) for bound in BOUNDS]
    group = (steps.c.kind, steps.c.synthetic, steps.c.step)
    rows = select(*group, func.count(), func.sum(steps.c.seconds), *upto).group_by(*group)
    return {
        (kind, bool(synthetic), step): Counts(times, seconds, tuple(counts))
        for kind, synthetic, step, times, seconds, *counts in session.execute(rows)
    }

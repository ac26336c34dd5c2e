"""How long the steps of all deployments took, counted for Prometheus' histograms.

What was wanted long ago changes no more, or hardly: it is counted once a day in each process, and
the rest at each scrape, so that a scrape costs what a week's deployments cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from tenantry.adapters.database.session import Database
from tenantry.adapters.database.tables import Deployment
from tenantry.flows.figures import measured

BOUNDS = (1, 2, 5, 10, 20, 30, 60, 120, 180, 300, 600, 1800)  # seconds
SETTLED = timedelta(days=7)  # after which nothing is expected to come

Group = tuple[str, bool, str]  # kind, synthetic, step


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
# until when it was counted, and what; of this process
_SETTLED: WeakKeyDictionary[Database, tuple[datetime, dict[Group, Counts]]] = WeakKeyDictionary()


def read_histograms(database: Database, session: Session, now: datetime) -> dict[Group, Counts]:
    """All deployments; of those that are older than `SETTLED`, as they were today at first."""
    border = (now - SETTLED).replace(hour=0, minute=0, second=0, microsecond=0)
    counted, old = _SETTLED.get(database, (None, {}))
    if counted != border:
        old = _count(session, Deployment.wanted_at < border)
        _SETTLED[database] = border, old
    new = _count(session, Deployment.wanted_at >= border)
    return {group: old.get(group, _NONE) + new.get(group, _NONE) for group in old | new}


def _count(session: Session, *chosen: Any) -> dict[Group, Counts]:
    steps = measured(session, *chosen)
    upto = [func.sum(case((steps.c.seconds <= bound, 1), else_=0)) for bound in BOUNDS]
    group = (steps.c.kind, steps.c.synthetic, steps.c.step)
    rows = select(*group, func.count(), func.sum(steps.c.seconds), *upto).group_by(*group)
    return {
        (kind, bool(synthetic), step): Counts(times, seconds, tuple(counts))
        for kind, synthetic, step, times, seconds, *counts in session.execute(rows)
    }

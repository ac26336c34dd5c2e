"""What a watcher remembers of each tenant; losing it costs requests, not truth.

It decides whom to read in full: never one per tenant and look. A tenant that rests is left alone
while its line in the list is good, and probed from time to time; one on the way is read when its
line changed, and then less and less often.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tenantry.adapters.argocd import ListedApplication
from tenantry.core.backoff import has_passed
from tenantry.core.evidence import Obstacle, expects_answer
from tenantry.core.model import State, Status
from tenantry.core.reasons import REASONS
from tenantry.flows.watching.watched import Watched

PAUSES = (1.0, 1.0, 1.0, 2.0, 3.0, 5.0, 8.0, 15.0)  # seconds until the next look, without news
NUDGE_AGAIN = timedelta(seconds=10)
_GOOD = frozenset({"Healthy", "Progressing"})

_News = tuple[int, Status, ListedApplication | None]


@dataclass
class Memory:
    """What was last seen of one tenant. `cause` is of `cause_of`: a generation's generic code."""

    news: _News | None = None
    recorded: object = None  # what was written down last
    looks: int = 0  # without news
    again_at: datetime | None = None
    looked_at: datetime | None = None
    nudged_at: datetime | None = None
    cause_of: tuple[int, str] = (0, "")
    cause: Obstacle | None = None
    explained_at: datetime | None = None
    stands_since: datetime | None = None
    refused: str = ""  # why Argo CD did not do what it was asked for

    def begin(self, generation: int, code: str, now: datetime) -> None:
        """This stands in the way; what explained something else is forgotten."""
        if self.cause_of != (generation, code):
            self.cause_of, self.cause, self.refused = (generation, code), None, ""
            self.explained_at, self.stands_since = None, now

    def is_hopeless(self, generation: int, code: str) -> bool:
        """Whether the cause of this is known, and does not pass by itself."""
        is_same = self.cause_of == (generation, code)
        return is_same and self.cause is not None and not REASONS[self.cause.code].heals


@dataclass
class Memories:
    """Of all tenants of a cell. `probe_every`: how often one that rests is asked whether it
    answers.
    """

    probe_every: timedelta
    _of: dict[str, Memory] = field(default_factory=dict)

    def of(self, tenant: Watched) -> Memory:
        return self._of.setdefault(tenant.name, Memory())

    def restless(self, moving: Mapping[str, int], now: datetime) -> set[str]:
        """Names of those that are to be looked at by now; of those on the way, by the generation
        that was published, also what was not looked at yet.
        """
        waited = {name for name, each in self._of.items() if _is_over(each, now)}
        return waited | {name for name, each in moving.items() if self._is_new(name, each)}

    def keep(self, names: Iterable[str]) -> None:
        """Forget all others."""
        kept = set(names)
        for name in self._of.keys() - kept:
            del self._of[name]

    def due(
        self, tenants: Iterable[Watched], lines: Mapping[str, ListedApplication], now: datetime
    ) -> list[Watched]:
        """Whom to read in full now; who waited longest comes first."""
        due = [each for each in tenants if self._is_due(each, lines.get(each.name), now)]
        return sorted(
            due, key=lambda each: self.of(each).looked_at or datetime.min.replace(tzinfo=now.tzinfo)
        )

    def looked(self, tenant: Watched, line: ListedApplication | None, now: datetime) -> None:
        """Note that it was read in full, and when it is to be read again without news."""
        memory, news = self.of(tenant), _news_of(tenant, line)
        memory.looks = memory.looks + 1 if memory.news == news else 0
        memory.news, memory.looked_at = news, now
        memory.again_at = self._again_at(tenant, memory, now)

    def may_nudge(self, name: str, now: datetime) -> bool:
        """Whether it is long enough since it was last nudged; notes that it is now."""
        memory = self._of.setdefault(name, Memory())
        if not has_passed(NUDGE_AGAIN, memory.nudged_at, now):
            return False
        memory.nudged_at = now
        return True

    def _is_new(self, name: str, generation: int) -> bool:
        memory = self._of.get(name)
        return memory is None or memory.news is None or memory.news[0] != generation

    def _is_due(self, tenant: Watched, line: ListedApplication | None, now: datetime) -> bool:
        memory = self.of(tenant)
        if is_calm(tenant, line):
            if memory.again_at is None:
                memory.again_at = self._next_probe(tenant, now)
            return _is_over(memory, now)
        return memory.news != _news_of(tenant, line) or _is_over(memory, now)

    def _again_at(self, tenant: Watched, memory: Memory, now: datetime) -> datetime | None:
        if tenant.rests:
            return self._next_probe(tenant, now)
        return now + timedelta(seconds=PAUSES[min(memory.looks, len(PAUSES) - 1)])

    def _next_probe(self, tenant: Watched, now: datetime) -> datetime | None:
        """Spread, so that those which became ready together are not asked together."""
        if not expects_answer(tenant.spec.state):
            return None
        return now + self.probe_every * (0.5 + random.random() / 2)  # noqa: S311 - no secret


def _news_of(tenant: Watched, line: ListedApplication | None) -> _News:
    return tenant.generation, tenant.standing.status, line


def is_calm(tenant: Watched, line: ListedApplication | None) -> bool:
    """Whether the tenant rests, and the list alone shows nothing that is wrong with it."""
    if not tenant.rests or line is None or line.deleting:
        return False
    return line.health in _GOOD or (
        line.health == "Suspended" and tenant.spec.state is State.SUSPENDED
    )


def _is_over(memory: Memory, now: datetime) -> bool:
    if memory.again_at is None:
        return False
    set_back = memory.looked_at is not None and now < memory.looked_at
    return now >= memory.again_at or set_back

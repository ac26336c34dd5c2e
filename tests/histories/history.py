"""Histories: what happens, in any order, and how often each thing does."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tests.histories.argo import Argo, Glimpse
from tests.histories.cluster import GOOD, REFUSED, SICK, UNBUILDABLE, Cluster, Content, Git
from tests.histories.watcher import Watcher, Wrong, clock

KINDS = (GOOD, GOOD, GOOD, GOOD, REFUSED, REFUSED, SICK, UNBUILDABLE)
WAITS = (1, 3, 12, 40, 130, 400)  # seconds
JUMPS = (-3600, -60, 60, 3600)
REMEMBERED = 4  # glimpses that may still arrive, late or twice
LATEST = 10  # seconds that an answer may take

Event = tuple[str, int]


@dataclass
class World:
    """One tenant's life; each method is something that happens, `n` says which way."""

    second: int = 0
    skew: int = 0  # of the service's clock
    heard: bool = True
    git: Git = field(default_factory=Git)
    cluster: Cluster = field(default_factory=Cluster)
    glimpses: deque[tuple[int, Glimpse]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def __post_init__(self) -> None:
        self.argo = Argo(self.git, self.cluster)
        self.watcher = Watcher(self.argo)

    def publish(self, n: int) -> None:
        self._publish(Content(f"{KINDS[n % len(KINDS)]}-{len(self.git.contents)}", self._platform))

    def revert(self, n: int) -> None:
        """To a folder that was on main before: another commit, the same tree."""
        known = list(self.git.contents.values())
        if known:
            self._publish(Content(known[n % len(known)].tenant, self._platform))

    def change_platform(self, _: int) -> None:
        """All tenants want it from then on; none of them has a generation for it."""
        published = self.watcher.published
        if published:
            content = Content(published.tenant, f"platform-{len(self.git.contents)}")
            self.git.commit(content)
            self.watcher.published = content

    def commit_the_same(self, _: int) -> None:
        if self.git.head:
            self.git.commit(self.git.at_head)

    def squash(self, _: int) -> None:
        """The commit that was on main is on no branch any more; its content is."""
        if self.git.head:
            self.git.hidden.add(self.git.head)
            self.git.commit(self.git.at_head)

    def stray(self, n: int) -> None:
        """Somebody's commit with other content, that the service cannot fetch."""
        if self.git.head:
            kind = REFUSED if n % 2 else GOOD
            self.git.commit(Content(f"{kind}-{len(self.git.contents)}", self._platform))
            self.git.hidden.add(self.git.head)

    def put_back(self, _: int) -> None:
        """What the service published stands on main again."""
        if self.watcher.published:
            self.git.commit(self.watcher.published)

    def fail_and_put_back(self, n: int) -> None:
        """Somebody's commit fails for good; its operation stands for good, too."""
        self.stray(1)
        for _ in range(3):
            self.work(3)
        self.put_back(n)
        self.compare(n)

    def fetch(self, _: int) -> None:
        self.git.hidden.clear()

    def work(self, n: int) -> None:
        for _ in range(1 + n % 4):
            self.second += 1
            self.cluster.work()
            self.argo.work(self.second)
            self._remember()

    def compare(self, _: int) -> None:
        if self.git.head:
            self.argo.compare(self.second)

    def forget(self, _: int) -> None:
        self.argo.forget()

    def recreate(self, _: int) -> None:
        self.argo.recreate()

    def delete(self, _: int) -> None:
        self.argo.delete()

    def break_or_mend(self, n: int) -> None:
        if n % 2:
            self.cluster.broken = not self.cluster.broken
        else:
            self.cluster.silent = not self.cluster.silent

    def wait(self, n: int) -> None:
        self.second += WAITS[n % len(WAITS)]

    def jump(self, n: int) -> None:
        self.skew += JUMPS[n % len(JUMPS)]

    def lose_or_find(self, _: int) -> None:
        """Argo CD cannot be reached, or can again."""
        self.heard = not self.heard

    def lose_or_get_the_right(self, _: int) -> None:
        self.watcher.may_sync = not self.watcher.may_sync

    def look(self, _: int) -> None:
        self._remember()
        self._look_at(self.argo.read())

    def look_late(self, n: int) -> None:
        on_their_way = [one for at, one in self.glimpses if self.second - at <= LATEST]
        if on_their_way:
            self._look_at(on_their_way[n % len(on_their_way)])

    def go_on(self, n: int) -> None:
        """A quiet while of the usual kind."""
        for _ in range(2 + n % 3):
            for _ in range(3):
                self.work(n)
            self.look(n)
            self.wait(n)

    def _publish(self, content: Content) -> None:
        self.git.commit(content)
        self.watcher.publish(content, clock(self.second, self.skew))

    @property
    def _platform(self) -> str:
        published = self.watcher.published
        return published.platform if published else "platform"

    def _remember(self) -> None:
        self.glimpses.append((self.second, self.argo.read()))

    def _look_at(self, glimpse: Glimpse) -> None:
        if self.heard:
            self.watcher.look(glimpse, clock(self.second, self.skew), self.second)


HAPPENS: dict[str, tuple[int, Callable[[World, int], None]]] = {
    "publish": (5, World.publish),
    "revert": (5, World.revert),
    "change_platform": (3, World.change_platform),
    "commit_the_same": (2, World.commit_the_same),
    "squash": (2, World.squash),
    "stray": (2, World.stray),
    "put_back": (3, World.put_back),
    "fail_and_put_back": (4, World.fail_and_put_back),
    "fetch": (3, World.fetch),
    "work": (25, World.work),
    "compare": (5, World.compare),
    "forget": (1, World.forget),
    "recreate": (1, World.recreate),
    "delete": (3, World.delete),
    "break_or_mend": (3, World.break_or_mend),
    "wait": (12, World.wait),
    "jump": (1, World.jump),
    "lose_or_find": (2, World.lose_or_find),
    "lose_or_get_the_right": (2, World.lose_or_get_the_right),
    "look": (25, World.look),
    "look_late": (5, World.look_late),
    "go_on": (12, World.go_on),
}
_TROUBLES = ("break_or_mend", "lose_or_get_the_right")
_NAMES = list(HAPPENS)
_WEIGHTS = [weight for weight, _ in HAPPENS.values()]


def make(seed: int) -> list[Event]:
    """A history that always is the same for a seed."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    trouble = chance.choices(_TROUBLES, k=chance.randrange(3))  # from the first
    names = chance.choices(_NAMES, _WEIGHTS, k=chance.randint(10, 70))
    return [(name, chance.randrange(60)) for name in (*trouble, "publish", *names)]


def play(history: Iterable[Event]) -> World:
    """Raises Wrong where something was told that was not so."""
    world = World()
    for name, n in history:
        HAPPENS[name][1](world, n)
    return world


def shrink(history: Sequence[Event]) -> list[Event]:
    """The same mistake in fewer events: none of those left can be left out."""
    left, at = list(history), 0
    while at < len(left):
        shorter = left[:at] + left[at + 1 :]
        if _is_wrong(shorter):
            left = shorter
        else:
            at += 1
    return left


def _is_wrong(history: Sequence[Event]) -> bool:
    try:
        play(history)
    except Wrong:
        return True
    return False

"""Kill a site's processes at random moments while people work with it, and see what is left.

The moments, and who is killed with whom, come from a seed. How the processes' own steps fall
between them does not, so a seed gives the same kills and not the same run.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial

from sqlalchemy import func, select

from tenantry.adapters.database.tables import Customer, Publication, Tenant
from tenantry.core import naming
from tenantry.flows.service import Service
from tests.invariants import check_invariants
from tests.system.load import Renamer, Visitors
from tests.system.processes import (
    Site,
    Whom,
    descendants,
    running_pids,
    send,
    wait_until,
)
from tests.system.verdict import judge, wait_until_published
from tests.system.world import PASSWORD

WORKERS = ("worker-1", "worker-2")
# Seconds to wait for a moment. After the holder of the lease was killed, no pass begins for three.
PASS_WITHIN = 4.0
PUSH_WITHIN = 8.0
SIGNUP_WITHIN = 8.0
DURING = 0.5  # seconds: about what a pass takes on a busy machine
SHORTLY = 0.05  # seconds: about what it takes to record a push
WHOM = {Whom.ITSELF: 4, Whom.ALL: 4, Whom.CHILDREN: 2}  # how often, of ten
AIMS = Counter(at_random=4, in_a_pass=2, after_a_push=2, after_a_signup=2)  # the same


@dataclass
class Tally:
    """What came of a run; in the order in which it is shown."""

    seed: int
    kills: int = 0
    killed_in_a_pass: int = 0
    landed_before_the_kill: int = 0
    answered_again: int = 0
    never_answered: int = 0
    signups: int = 0
    renames: int = 0
    pushes: int = 0
    forced: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    backwards: list[str] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    clones: int = 0
    seconds: float = 0

    def __add__(self, later: Tally) -> Tally:
        """Two runs as one; of clones the most, of seeds the first."""
        total = Tally(self.seed)
        for name in _TITLES.keys() - {"seed", "clones"}:
            setattr(total, name, getattr(self, name) + getattr(later, name))
        total.clones = max(self.clones, later.clones)
        return total

    def __str__(self) -> str:
        return "\n".join(f"  {_TITLES[name]:38} {value}" for name, value in self._shown())

    def is_well(self, *, kills: int, living: int) -> bool:
        """Whether there was anything to lose and nothing was lost. `living`: workers at a time."""
        bad = [*self.lost, *self.doubled, *self.backwards, *self.surprises]
        done = self.kills == kills and self.signups > 0 and self.pushes > 0
        return done and not bad and self.forced == 0 and self.clones <= living + 1

    def _shown(self) -> list[tuple[str, str]]:
        values = ((each.name, getattr(self, each.name)) for each in fields(self))
        return [(name, _show(value)) for name, value in values]


_TITLES: Mapping[str, str] = {
    "seed": "seed",
    "kills": "kills",
    "killed_in_a_pass": "of a worker in the middle of a pass",
    "landed_before_the_kill": "with a push landed and not recorded",
    "answered_again": "signups stored, answered only later",
    "never_answered": "signups whose visitor gave up",
    "signups": "signups answered",
    "renames": "companies renamed",
    "pushes": "pushes landed",
    "forced": "pushes forced",
    "lost": "lost",
    "doubled": "doubled",
    "backwards": "gone backwards",
    "surprises": "other surprises",
    "clones": "clones left",
    "seconds": "seconds",
}


def _show(value: object) -> str:
    if isinstance(value, list):
        return "\n      ".join([str(len(value)), *value[:10]])
    return f"{value:.0f}" if isinstance(value, float) else str(value)


class KillLoop:
    """One run on a site that has nothing running yet."""

    def __init__(self, site: Site, service: Service, *, seed: int) -> None:
        self.tally = Tally(seed)
        self._site = site
        self._service = service
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._visitors = Visitors(site.url)
        self._aims: list[str] = []
        self._moments = {
            "at_random": self._at_random,
            "in_a_pass": self._in_a_pass,
            "after_a_push": self._after_a_push,
            "after_a_signup": self._after_a_signup,
        }
        self._renamer = Renamer(service, self._known, seed=seed)
        self._commands: Mapping[str, Callable[[], None]] = {
            "web": site.start_web,
            **{name: partial(site.start_worker, name) for name in WORKERS},
        }

    def run(self, kills: int, *, patience: float) -> Tally:
        """Kill so many, then let everything come to rest and judge what is left. Visitors who have
        no answer by then ask for `patience` more seconds.
        """
        began = time.monotonic()
        for start in self._commands.values():
            start()
        self._site.wait_until_up()
        self._visitors.start()
        with self._renamer.at_work():
            for _ in range(kills):
                self._kill_one()
        self._come_to_rest(patience)
        self._judge()
        self.tally.seconds = time.monotonic() - began
        return self.tally

    def _known(self) -> list[str]:
        return [answer.customer_id for answer in self._visitors.answers]

    def _kill_one(self) -> None:
        if not self._aims:
            self._aims = self._random.sample(list(AIMS), counts=list(AIMS.values()), k=AIMS.total())
        victim = self._moments[self._aims.pop()]() or self._random.choice(list(self._commands))
        self._tend()
        self._kill(victim, self._random.choices(list(WHOM), list(WHOM.values()))[0])

    # Moments: each waits for one, and says who is killed then; None: anybody

    def _at_random(self) -> None:
        self._pause(self._random.uniform(0, 1))

    def _in_a_pass(self) -> str | None:
        began = self._has_come(self._passing, PASS_WITHIN)
        victim = self._passing() if began else None
        self._pause(self._random.uniform(0, DURING))
        return victim

    def _after_a_push(self) -> str | None:
        pushes = len(self._site.pushes(landed=True))
        self._has_come(lambda: len(self._site.pushes(landed=True)) > pushes, PUSH_WITHIN)
        self._pause(self._random.uniform(0, SHORTLY))
        return self._passing()

    def _after_a_signup(self) -> str | None:
        signups = self._signups()
        return "web" if self._has_come(lambda: self._signups() > signups, SIGNUP_WITHIN) else None

    def _has_come(self, condition: Callable[[], object], within: float) -> bool:
        give_up = time.monotonic() + within
        while not condition():
            if time.monotonic() > give_up:
                return False
            self._tend()
            self._pause(0.005)
        return True

    def _pause(self, seconds: float) -> None:
        """Let the work go on until a moment that nobody chose."""
        time.sleep(seconds)

    def _signups(self) -> int:
        with self._service.database.read() as session:
            return session.scalar(select(func.count()).select_from(Customer)) or 0

    def _passing(self) -> str | None:
        """The worker that is in a pass."""
        return next((name for name in WORKERS if self._site.is_in_pass(name)), None)

    # Kills

    def _kill(self, victim: str, whom: Whom) -> None:
        """A kill, and what it hit: the victim is stopped while it is looked at."""
        pid = self._site.children[victim].pid
        send(pid, signal.SIGSTOP)
        is_in_pass = victim in WORKERS and self._site.is_in_pass(victim)
        children = descendants(pid)
        self._site.kill(victim, whom if children else Whom.ITSELF)
        send(pid, signal.SIGCONT)
        self._tend()
        self.tally.kills += 1
        if is_in_pass:
            self.tally.killed_in_a_pass += 1
            wait_until(lambda: not set(children) & running_pids(), "orphans have ended")
            self.tally.landed_before_the_kill += self._has_unrecorded()

    def _tend(self) -> None:
        """Start again who has ended, as whoever runs the service does."""
        for name, start in self._commands.items():
            if self._site.has_ended(name):
                start()

    def _has_unrecorded(self) -> bool:
        """Whether a tenant stands on main of which no worker has recorded that it does."""
        standing = self._site.folders()
        rows = select(Tenant.name, Publication.tree).join(
            Publication, Publication.customer_id == Tenant.customer_id
        )
        with self._service.database.read() as session:
            found = session.execute(rows.where(Publication.accepted_at.is_(None))).all()
        return any(standing.get(naming.folder(name)) == tree for name, tree in found)

    def _come_to_rest(self, patience: float) -> None:
        self._visitors.stop()
        self._has_come(lambda: not self._visitors.unanswered, patience)
        self._visitors.leave()
        wait_until(self._are_up, "all processes are up")
        wait_until_published(self._service)
        for name, code in self._site.stop().items():
            if code:
                self.tally.surprises.append(f"{name} ended with {code} on SIGTERM")

    def _are_up(self) -> bool:
        self._tend()
        return self._site.is_up("web") and all(self._site.is_up(name) for name in WORKERS)

    def _judge(self) -> None:
        site, visitors, renamer, tally = self._site, self._visitors, self._renamer, self.tally
        verdict = judge(site, self._service, visitors.answers)
        tally.lost += [*verdict.lost, *renamer.lost(self._service)]
        tally.doubled += verdict.doubled
        tally.backwards += verdict.backwards
        tally.surprises += visitors.surprises
        tally.answered_again = sum(answer.is_replay for answer in visitors.answers)
        tally.never_answered = visitors.unanswered
        tally.signups = len(visitors.answers)
        tally.renames = renamer.renamed.total()
        tally.pushes = len(site.pushes(landed=True))
        tally.forced = site.forced_pushes()
        tally.clones = len(list(site.clones.glob("*.git")))
        check_invariants(self._service, canaries=[PASSWORD], logs=site.logs)

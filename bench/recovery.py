"""How soon publishing goes on: after a killed worker, and after an hour without the Git host."""

from __future__ import annotations

import random
import statistics
import subprocess
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.progress import track

from bench.fleet import import_people
from bench.results import Figure, Result
from bench.stage import Stage, make_stage, wait_until
from tenantry.core.errors import TenantryError
from tenantry.flows.publishing.publish import publish_due

REACH_KILL = 5.0  # seconds
REACH_DRAIN = 60.0  # seconds
REACH_PUSHES = 20
BATCH = 50  # tenants in a push, so that there is something to kill for long
BACKLOG = 8 * BATCH  # tenants for each kill
OUTAGE = timedelta(hours=1)


@dataclass(frozen=True)
class Drain:
    """What followed an outage; `waited` are the fake clock's seconds, `worked` real ones."""

    signups: int
    tries: int  # while the host was away
    waited: float
    worked: float
    pushes: int

    @property
    def seconds(self) -> float:
        return self.waited + self.worked


class Clock:
    """Stands still but for what is added to it."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 23, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


def measure(
    console: Console, *, kills: int, signups: int
) -> tuple[Sequence[float], Drain, Sequence[Figure]]:
    """Seconds after each kill, the outage, and how their two repositories came through."""
    with make_stage() as stage:
        killed = kill_workers(stage, console, kills)
        after_kills = Figure("repository after the kills", stage.check())
    clock = Clock()
    with make_stage(now=clock) as stage:
        drain = outlast_outage(stage, clock, console, signups)
        after_outage = Figure("repository after the outage", stage.check())
    return killed, drain, [after_kills, after_outage]


def kill_workers(stage: Stage, console: Console, kills: int) -> list[float]:
    """Seconds from SIGKILL in the midst of publishing to a new worker's first push."""
    import_people(stage.service, (kills + 2) * BACKLOG)
    times = []
    with ExitStack() as running:
        worker = running.enter_context(_worker(stage))
        for _ in track(range(kills), description="killing", console=console, transient=True):
            _wait_for_push(stage, stage.head())
            time.sleep(random.uniform(0.5, 1.0))  # noqa: S311 - the next batch is under way
            worker.kill()
            worker.wait()
            began, before = time.perf_counter(), stage.head()
            worker = running.enter_context(_worker(stage))
            _wait_for_push(stage, before)
            times.append(time.perf_counter() - began)
    return times


def outlast_outage(stage: Stage, clock: Clock, console: Console, signups: int) -> Drain:
    """An hour without the Git host, customers signing up meanwhile; then it is back."""
    stage.grow(20, console)
    away = stage.remote.with_name("away.git")
    stage.remote.rename(away)
    ends, tries = clock.time + OUTAGE, 0
    for number in track(range(signups), description="outage", console=console, transient=True):
        stage.sign_up(f"waiting-{number}")
        clock.time += OUTAGE / (signups + 1)
        tries += _fails(stage, clock)
    while clock.time < ends:
        clock.time += timedelta(seconds=5)
        tries += _fails(stage, clock)
    away.rename(stage.remote)
    return _drain(stage, clock, signups, tries)


def _worker(stage: Stage) -> AbstractContextManager[subprocess.Popen[bytes]]:
    return stage.process("worker", TENANTRY_BULK_BATCH=str(BATCH))


def _wait_for_push(stage: Stage, before: str) -> None:
    wait_until(lambda: stage.head() != before)


def _fails(stage: Stage, clock: Clock) -> bool:
    """Whether a try was made; each fails, and is recorded with the time of the next."""
    try:
        publish_due(stage.service, stage.service.new_tenants_cell)
    except TenantryError:
        clock.time += timedelta(milliseconds=1)
        return True
    return False


def _drain(stage: Stage, clock: Clock, signups: int, tries: int) -> Drain:
    before, began = clock.time, time.perf_counter()
    published = pushes = 0
    while published < signups:
        done = publish_due(stage.service, stage.service.new_tenants_cell)
        assert not done.set_aside
        published, pushes = published + len(done.tenants), pushes + done.pushes
        pause = stage.settings.publish_pause if done.tenants else stage.settings.publish_poll
        clock.time += timedelta(seconds=pause)  # as a worker makes it
    waited = (clock.time - before).total_seconds()
    return Drain(signups, tries, waited, time.perf_counter() - began, pushes)


def result(killed: Sequence[float], drain: Drain, checks: Sequence[Figure]) -> Result:
    """One line a figure."""
    figures = [
        Figure(
            f"next publish after SIGKILL ({len(killed)} kills)",
            f"median {statistics.median(killed):.1f} s, longest {max(killed):.1f} s",
            f"≤ {REACH_KILL:g} s",
            max(killed) <= REACH_KILL,
        ),
        Figure(
            f"Git host away for an hour, {drain.signups:,} signups waiting",
            f"drained in {drain.seconds:.0f} s ({drain.waited:.0f} s of them waiting)",
            f"≤ {REACH_DRAIN:g} s",
            drain.seconds <= REACH_DRAIN,
        ),
        Figure(
            "pushes for them", f"{drain.pushes}", f"≤ {REACH_PUSHES}", drain.pushes <= REACH_PUSHES
        ),
        Figure("tries while it was away", f"{drain.tries}"),
        *checks,
    ]
    notes = ["A killed worker is followed by one that is started then, as an orchestrator does it."]
    return Result("recovery", "recovery", figures, notes)

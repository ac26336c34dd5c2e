"""From the answer 201 to the commit on the remote's main, by a real worker, one signup at a time.

Beside it the floor, in the same run on the same repository: one fetch, one commit of one file by
`git fast-import`, one push, by git's own command line.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import track

from bench.results import Figure, Result
from bench.stage import Stage, timed, wait_until

REACH = 0.2  # seconds, p50, at the last size
REACH_GROWTH = 1.5  # of p50 at the last size, beside that at the first
PAUSE = 0.7  # seconds between signups: longer than a worker's least from push to push


@dataclass(frozen=True)
class Single:
    """What single signups took with so many tenants in the repository; seconds."""

    tenants: int
    floor: float
    times: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    @property
    def p95(self) -> float:
        return sorted(self.times)[int(0.95 * (len(self.times) - 1) + 0.5)]


def measure(stage: Stage, console: Console, *, sizes: Sequence[int], singles: int) -> list[Single]:
    """At each size, rising."""
    found = []
    for size in sizes:
        stage.grow(size, console)
        floor = _median(lambda: push_by_git_alone(stage), singles)
        with stage.process("worker"):
            publish_one(stage)  # the first reads main and builds the class
            names = track(range(singles), description=f"at {size}", console=console, transient=True)
            found.append(Single(size, floor, [publish_one(stage) for _ in names]))
    return found


def publish_one(stage: Stage) -> float:
    """Seconds from a stored signup to the moved branch."""
    time.sleep(PAUSE)
    before = stage.head()
    stage.sign_up(f"single-{time.monotonic_ns()}")
    return wait_until(lambda: stage.head() != before)


def push_by_git_alone(stage: Stage) -> float:
    """Seconds for fetch, one commit of one file, and push, by git's command line. The commit has
    main's files but a branch of its own: main stays the service's.
    """
    clone, branch = stage.folder / "floor.git", f"floor-{len(stage.tenants)}"
    if not clone.exists():
        command = ["git", "clone", "-q", "--bare", str(stage.remote), str(clone)]
        subprocess.run(command, check=True)
        for name in ("gc.auto", "maintenance.auto"):  # the floor is the work, not housekeeping
            subprocess.run(["git", f"--git-dir={clone}", "config", name, "0"], check=True)

    def git_alone(*arguments: str, given: str = "") -> int:
        command = ["git", f"--git-dir={clone}", *arguments]
        ran = subprocess.run(command, input=given.encode(), capture_output=True, check=False)
        return ran.returncode

    is_there = git_alone("rev-parse", "--verify", f"refs/{branch}") == 0
    stream = (
        f"reset refs/{branch}\nfrom refs/{branch if is_there else 'heads/main'}^0\n\n"
        f"commit refs/{branch}\ncommitter Floor <floor@localhost> 0 +0000\ndata 0\n"
        f"M 100644 inline floor/{time.monotonic_ns()}\ndata 0\n\ndone\n"
    )

    def push() -> None:
        assert git_alone("fetch", "-q", "origin", "+main:main") == 0
        assert git_alone("fast-import", "--quiet", "--done", given=stream) == 0
        assert git_alone("push", "-q", "origin", f"refs/{branch}:refs/heads/{branch}") == 0

    return timed(push)


def result(found: Sequence[Single]) -> Result:
    """One line a size, and the growth from the first to the last."""
    figures = []
    for each in found:
        is_last = each is found[-1]
        figures.append(
            Figure(
                f"signup → pushed commit, {each.tenants:,} tenants",
                f"p50 {each.median * 1000:.0f} ms, p95 {each.p95 * 1000:.0f} ms "
                f"({each.median / each.floor:.1f} × git alone, {each.floor * 1000:.0f} ms)",
                f"p50 ≤ {REACH * 1000:.0f} ms" if is_last else "",
                each.median <= REACH if is_last else None,
            )
        )
    growth = found[-1].median / found[0].median
    what = f"the {found[-1].tenants:,}th beside the {found[0].tenants:,}th"
    figures.append(Figure(what, f"{growth:.2f} ×", f"≤ {REACH_GROWTH:g} ×", growth <= REACH_GROWTH))
    notes = ["A worker looks for work every 0.1 s: 50 ms of each, on average, are waiting."]
    return Result("publish", "single signups", figures, notes)


def _median(measure_one: Callable[[], float], times: int) -> float:
    """Of several runs, after one that does not count."""
    measure_one()
    return statistics.median(measure_one() for _ in range(times))

"""From the answer 201 to the commit on the remote's main, by a real worker, one signup at a time.

Beside it, in the same run: the floor, which is one fetch, one commit of one file by `git
fast-import` and one push, by git's own command line; and two scripts that provision one tenant.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.progress import track

from bench.results import Figure, Result
from bench.scripts import make_script
from bench.stage import Stage, timed, wait_until

REACH = 0.2  # seconds, p50, at the last size
REACH_GROWTH = 1.5  # of p50 at the last size, beside that at the first


@dataclass(frozen=True)
class Single:
    """What single signups took with so many tenants in the repository; seconds."""

    tenants: int
    times: Sequence[float]
    floor: float
    competent: float
    plain: float

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    @property
    def p95(self) -> float:
        return sorted(self.times)[int(0.95 * (len(self.times) - 1) + 0.5)]


def measure(
    stage: Stage, console: Console, *, sizes: Sequence[int], singles: int, script_singles: int
) -> list[Single]:
    """At each size, rising; the scripts are tried less often."""
    found = []
    for size in sizes:
        stage.grow(size, console)
        floor = _median(lambda: push_by_git_alone(stage), singles)
        with stage.process("worker"):
            publish_one(stage)  # the first reads main and builds the class
            names = track(range(singles), description=f"at {size}", console=console, transient=True)
            times = [publish_one(stage) for _ in names]
        script = make_script(stage)
        competent, plain = (
            _median(partial(timed, partial(provision, 1)), script_singles)
            for provision in (script.competent, script.plain)
        )
        found.append(Single(size, times, floor, competent, plain))
    return found


def publish_one(stage: Stage) -> float:
    """Seconds from a stored signup to the moved branch."""
    time.sleep(stage.settings.publish_pause + 0.2)  # no push has to wait for the last one
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
    """Ours and the scripts at each size, and the growth from the first to the last."""
    figures = [figure for each in found for figure in _lines(each, is_last=each is found[-1])]
    growth = found[-1].median / found[0].median
    what = f"the {found[-1].tenants:,}th beside the {found[0].tenants:,}th"
    figures.append(Figure(what, f"{growth:.2f} ×", f"≤ {REACH_GROWTH:g} ×", growth <= REACH_GROWTH))
    note = (
        "Half of TENANTRY_PUBLISH_POLL is, on average, the wait for the worker's next look. "
        "Scripts begin at once; their medians are of fewer tries."
    )
    return Result("publish", "single signups", figures, [note])


def _lines(found: Single, *, is_last: bool) -> list[Figure]:
    size = f"{found.tenants:,} tenants"
    ours = Figure(
        f"signup → pushed commit, {size}",
        f"p50 {found.median * 1000:.0f} ms, p95 {found.p95 * 1000:.0f} ms "
        f"({found.median / found.floor:.1f} × git alone, {found.floor * 1000:.0f} ms)",
        f"p50 ≤ {REACH * 1000:.0f} ms" if is_last else "",
        found.median <= REACH if is_last else None,
    )
    scripts = [
        Figure(
            f"{what}, {size}",
            f"p50 {seconds * 1000:.0f} ms ({seconds / found.median:.1f} × ours)",
        )
        for what, seconds in (
            ("competent script: git and kubeseal", found.competent),
            ("plain script: GitPython and kubeseal", found.plain),
        )
    ]
    return [ours, *scripts]


def _median(measure_one: Callable[[], float], times: int) -> float:
    """Of several runs, after one that does not count."""
    measure_one()
    return statistics.median(measure_one() for _ in range(times))

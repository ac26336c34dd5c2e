"""What web and worker processes hold in memory with many tenants, while customers sign up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from bench.client import Client
from bench.results import Figure, Result
from bench.stage import Stage

REACH_WEB = 150  # MB (10^6 bytes) a process
REACH_WORKER = 250  # MB
REACH_GROWTH = 10  # MB over the second half
LOOKS = 10
PROCESSES, THREADS = 2, 8


@dataclass(frozen=True)
class Look:
    """Resident memory after so many signups, in MB."""

    signups: int
    web: float  # of the largest process
    worker: float


def measure(stage: Stage, console: Console, *, signups: int) -> list[Look]:
    """With the stage's tenants there before."""
    serving = stage.serve(processes=PROCESSES, threads=THREADS)
    with stage.process("worker") as worker, serving as (web, port):
        client = Client(port)
        step = max(1, signups // LOOKS)
        looks = []
        for number in track(range(LOOKS), description="signups", console=console, transient=True):
            client.sign_up(step)
            looks.append(Look((number + 1) * step, max(_resident(web)), max(_resident(worker.pid))))
    return looks


def result(tenants: int, looks: Sequence[Look]) -> Result:
    """The largest of all looks, and the growth over the second half."""
    last, middle = looks[-1], looks[len(looks) // 2 - 1]
    figures = []
    for what, values, reach in (
        ("web, largest process", [look.web for look in looks], REACH_WEB),
        ("worker", [look.worker for look in looks], REACH_WORKER),
    ):
        largest, growth = max(values), values[-1] - values[len(values) // 2 - 1]
        figures += [
            Figure(what, f"{largest:.0f} MB", f"< {reach} MB", largest < reach),
            Figure(
                f"{what}: from signup {middle.signups:,} to {last.signups:,}",
                f"{growth:+.1f} MB",
                f"≤ {REACH_GROWTH} MB",
                growth <= REACH_GROWTH,
            ),
        ]
    return Result("memory", f"memory, {tenants:,} tenants before {last.signups:,} signups", figures)


def _resident(pid: int) -> list[float]:
    """MB of the process and of its children; programs that run for a moment are none of them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in path.read_text("utf-8").splitlines())
            is_python = "python" in (path.parent / "cmdline").read_bytes().decode(errors="replace")
        except (OSError, ValueError):
            continue
        if is_python and pid in (int(fields["Pid"]), int(fields["PPid"])) and "VmRSS" in fields:
            found.append(int(fields["VmRSS"].split()[0]) * 1024 / 1e6)
    return found

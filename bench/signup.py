"""What a signup request costs beside the password hash that it cannot do without.

In one run, on the same cores: argon2id alone on a thread for each core, then the real
`tenantry serve` under a client. The client shares the cores, so its part of the CPU time is told.
"""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench.client import Client
from bench.results import Figure, Result
from bench.stage import Stage, make_stage
from tenantry.adapters.passwords import hash_password
from tests import postgres

WARM_UP = 64  # signups
PROCESSES, THREADS = 2, 8
REACH = 0.70  # of the rate that argon2id alone allows
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Rate:
    """Work done: how many, in how many seconds, at how many CPU seconds."""

    count: int
    seconds: float
    cpu: float

    @property
    def per_second(self) -> float:
        """By the clock on the wall."""
        return self.count / self.seconds


@dataclass(frozen=True)
class Row:
    """Signups on one database, beside the hashes alone."""

    database: str
    hashes: Rate
    signups: Rate  # CPU: of the server
    client_cpu: float

    @property
    def ratio(self) -> float:
        """Of the hashes' rate, by the clock on the wall; the client's work is not taken off."""
        return self.signups.per_second / self.hashes.per_second

    @property
    def client_share(self) -> float:
        """The client's part of its own and the server's CPU time."""
        return self.client_cpu / (self.client_cpu + self.signups.cpu)

    @property
    def cpu_ratio(self) -> float:
        """CPU time of a hash beside the server's for a signup: what other load does not blur."""
        return (self.hashes.cpu / self.hashes.count) / (self.signups.cpu / self.signups.count)


def measure(console: Console, *, signups: int) -> list[Row]:
    """One row a database: SQLite, and PostgreSQL where it is installed."""
    rows = []
    for name, opened in _databases():
        with opened as url, make_stage(database_url=url) as stage:
            console.print(f"signup on {name} …")
            before = _hash_alone(signups // 2)
            served, client_cpu = _serve(stage, signups)
            after = _hash_alone(signups // 2)
            rows.append(Row(name, _sum(before, after), served, client_cpu))
    return rows


def result(rows: Sequence[Row]) -> Result:
    """The ratio by the clock is what counts; beside it what it would be by CPU time."""
    figures = [
        Figure(
            f"signup on {row.database}",
            f"{row.ratio:.0%} ({row.signups.per_second:.0f}/s; argon2id alone "
            f"{row.hashes.per_second:.0f}/s)",
            f"≥ {REACH:.0%}",
            row.ratio >= REACH,
        )
        for row in rows
    ]
    notes = [
        f"{row.database}: the client had {row.client_share:.0%} of the CPU time; by CPU time of "
        f"the service's own processes the ratio is {row.cpu_ratio:.0%}."
        for row in rows
    ]
    return Result("signup", "signup beside argon2id alone", figures, notes)


def _databases() -> Iterator[tuple[str, AbstractContextManager[str | None]]]:
    yield "SQLite", nullcontext(None)
    if shutil.which("initdb"):
        yield "PostgreSQL", _new_postgres()


@contextmanager
def _new_postgres() -> Iterator[str]:
    with postgres.server() as server:
        yield postgres.new_database(server)


def _hash_alone(count: int) -> Rate:
    """Password hashes and nothing else, on all cores."""
    began, cpu = time.perf_counter(), _own_cpu()
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(hash_password, [f"SecurePass{number}" for number in range(count)]))
    return Rate(count, time.perf_counter() - began, _own_cpu() - cpu)


def _serve(stage: Stage, count: int) -> tuple[Rate, float]:
    """The server's rate, and CPU seconds of the client."""
    with stage.serve(processes=PROCESSES, threads=THREADS) as (pid, port):
        client = Client(port)
        client.sign_up(min(WARM_UP, count))
        own, theirs, began = _own_cpu(), _cpu_of(pid), time.perf_counter()
        client.sign_up(count)
        seconds = time.perf_counter() - began
        return Rate(count, seconds, _cpu_of(pid) - theirs), _own_cpu() - own


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _cpu_of(pid: int) -> float:
    """CPU seconds of a process and its children, those that ended not counted."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text("utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(path.parent.name) == pid or int(fields[1]) == pid:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def _sum(one: Rate, other: Rate) -> Rate:
    return Rate(one.count + other.count, one.seconds + other.seconds, one.cpu + other.cpu)

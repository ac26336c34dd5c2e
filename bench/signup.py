"""What a signup request costs beside the password hash that it cannot do without.

In one run, on the same cores: argon2id alone on a thread for each core, then the real
`tenantry serve` under a client that costs as little as one can: prepared bytes, kept connections,
one thread. The client shares the cores, so its part of the CPU time is reported, too.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tenantry.adapters.passwords import hash_password
from tests import postgres

SIGNUPS = 600
WARM_UP = 64
CONNECTIONS = 16
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
        """The client's part of all CPU time."""
        return self.client_cpu / (self.client_cpu + self.signups.cpu)

    @property
    def cpu_ratio(self) -> float:
        """CPU time of a hash beside the server's for a signup: what other load does not blur."""
        return (self.hashes.cpu / self.hashes.count) / (self.signups.cpu / self.signups.count)


def measure(console: Console, *, signups: int = SIGNUPS) -> list[Row]:
    """One row a database: SQLite, and PostgreSQL where it is installed."""
    rows = []
    for name, opened in _databases():
        with opened as url, tempfile.TemporaryDirectory(prefix="tenantry-bench-") as folder:
            console.print(f"signup on {name} …")
            before = hash_alone(signups // 2)
            served, client_cpu = _serve(Path(folder), url, signups)
            after = hash_alone(signups // 2)
            rows.append(Row(name, _sum(before, after), served, client_cpu))
    return rows


def report(console: Console, rows: list[Row]) -> None:
    """One line a database, with what it must reach."""
    table = Table(title=f"signup beside argon2id alone (to reach: {REACH:.0%})")
    for column in ("database", "argon2id", "signups", "ratio", "client's CPU", "by CPU time"):
        table.add_column(column)
    for row in rows:
        table.add_row(
            row.database,
            f"{row.hashes.per_second:.0f}/s",
            f"{row.signups.per_second:.0f}/s",
            f"{row.ratio:.0%}",
            f"{row.client_share:.0%}",
            f"{row.cpu_ratio:.0%}",
        )
    console.print(table)


def hash_alone(count: int) -> Rate:
    """Password hashes and nothing else, on all cores."""
    began, cpu = time.perf_counter(), _own_cpu()
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(hash_password, [f"SecurePass{number}" for number in range(count)]))
    return Rate(count, time.perf_counter() - began, _own_cpu() - cpu)


def _databases() -> Iterator[tuple[str, AbstractContextManager[str | None]]]:
    yield "SQLite", nullcontext(None)
    if shutil.which("initdb"):
        yield "PostgreSQL", _new_postgres()


@contextmanager
def _new_postgres() -> Iterator[str]:
    with postgres.server() as server:
        yield postgres.new_database(server)


def _serve(folder: Path, url: str | None, count: int) -> tuple[Rate, float]:
    with _server(folder, url) as (pid, port):
        client = Client(port)
        client.sign_up(min(WARM_UP, count))
        own, theirs, began = _own_cpu(), _cpu_of(pid), time.perf_counter()
        client.sign_up(count)
        seconds = time.perf_counter() - began
        rate = Rate(count, seconds, _cpu_of(pid) - theirs)
        return rate, _own_cpu() - own


@contextmanager
def _server(folder: Path, url: str | None) -> Iterator[tuple[int, int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {
        **os.environ,
        "TENANTRY_DATA_DIR": str(folder),
        "TENANTRY_PORT": str(port),
        "TENANTRY_WEB_PROCESSES": str(PROCESSES),
        "TENANTRY_WEB_THREADS": str(THREADS),
    }
    if url:
        environment["TENANTRY_DATABASE_URL"] = url
    command = [sys.executable, "-m", "tenantry", "serve"]
    with (folder / "serve.log").open("wb") as log:
        child = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait_until_open(port, child)
        yield child.pid, port
    finally:
        child.terminate()
        child.wait(30)


def _wait_until_open(port: int, child: subprocess.Popen[bytes]) -> None:
    while child.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the server did not start")


class Client:
    """Sends prepared signups over kept connections, each as soon as the last was answered."""

    def __init__(self, port: int) -> None:
        self._address = ("127.0.0.1", port)
        self._numbers = iter(range(sys.maxsize))

    def sign_up(self, count: int) -> None:
        """So many signups, all of them answered 201; RuntimeError otherwise."""
        waiting = [self._request(next(self._numbers)) for _ in range(count)]
        with selectors.DefaultSelector() as selector:
            for _ in range(min(CONNECTIONS, count)):
                connection = socket.create_connection(self._address, timeout=60)
                connection.sendall(waiting.pop())
                selector.register(connection, selectors.EVENT_READ, bytearray())
            while selector.get_map():
                for key, _ in selector.select(60):
                    _receive(selector, key, waiting)

    def _request(self, number: int) -> bytes:
        fields = {
            "email": f"bench-{number}@example.com",
            "password": f"SecurePass{number}",
            "company_name": f"Company {number}",
            "time_zone": "Europe/Berlin",
        }
        body = json.dumps(fields).encode()
        return (
            b"POST /api/customers/signup HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )


def _receive(
    selector: selectors.BaseSelector, key: selectors.SelectorKey, waiting: list[bytes]
) -> None:
    connection, received = key.fileobj, key.data
    assert isinstance(connection, socket.socket)
    received += connection.recv(65_536)
    head, separator, body = received.partition(b"\r\n\r\n")
    if not received.startswith(b"HTTP/1.1 201 "[: len(received)]) or not received:
        raise RuntimeError(bytes(received[:200]).decode("latin-1"))
    if not separator or len(body) < _length(head):
        return
    received.clear()
    if waiting:
        connection.sendall(waiting.pop())
    else:
        selector.unregister(connection)
        connection.close()


def _length(head: bytearray) -> int:
    return int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])


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


if __name__ == "__main__":
    report(Console(), measure(Console()))

"""The service as an operator runs it: processes of their own, on one database and one remote.

Settings reach them by their environment, letters and log lines land in folders, and a bare
repository beside them is the Git host: its hooks write down what was pushed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import select

from tenantry import settings, wiring
from tenantry.adapters import process
from tenantry.adapters.database.tables import LeaseRow
from tenantry.adapters.git import create_bare
from tenantry.adapters.http import make_session
from tenantry.core.errors import DatabaseUnavailable
from tenantry.flows.service import Cell, Service
from tests.ports import free_port
from tests.programs import require
from tests.system.world import VECTORS

SESSION = make_session()
STOPS_WITHIN = 20.0  # seconds
# Programs of the Git host, as the kernel shortens their names: a worker's end is not theirs.
OF_THE_HOST = {"git-receive-pac", "git-upload-pack"}
NOTHING = "0" * 40
# Of a worker: main, lifecycle, mailer, housekeeper, publisher, reviewer, follower, watcher. In a
# pass there are more.
IDLE_THREADS = 8


def wait_until(
    condition: Callable[[], object],
    what: str,
    *,
    within: float = 40.0,
    why: Callable[[], object] = str,
) -> None:
    """AssertionError naming `what`, and `why` not, where the condition does not come to hold
    within so many seconds.
    """
    give_up = time.monotonic() + within
    while not condition():
        assert time.monotonic() < give_up, f"not within {within:g} s: {what} {why()}"
        time.sleep(0.02)


class Whom(Enum):
    """Who of a process and those that it started (git, or gunicorn's) is killed."""

    ITSELF = "itself"  # as by the kernel when memory is short: the others run on
    CHILDREN = "children"
    ALL = "all"  # as with a container


@dataclass
class Site:
    """One installation in a folder. `options` are settings beside those that it needs."""

    folder: Path
    database_url: str
    options: Mapping[str, Any] = field(default_factory=dict)
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for program in ("kubeseal", "kustomize"):
            require(program)
        for folder in (self.logs, self.folder / "tmp"):
            folder.mkdir(parents=True)
        create_bare(self.remote)
        for name in ("pre-receive", "post-receive"):
            self.hook(name, f'cat >>"{self.folder}/{name}.log"')
        self.port = free_port()

    @property
    def remote(self) -> Path:
        return self.folder / "tenants.git"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def clones(self) -> Path:
        return self.folder / "data/clones"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def service(self) -> Service:
        """The same service in the test's own process, to look at it and to change things."""
        return wiring.build(settings.load(**self._settings()))

    # Processes

    def start_web(self, name: str = "web") -> None:
        """Returns at once; `wait_until_up` waits until it answers."""
        self._start(name, "serve")

    def start_worker(self, name: str, *, programs: Path | None = None) -> None:
        """`programs` is a folder of programs that it finds before all others."""
        path = process.search_path()
        self._start(name, "worker", PATH=f"{programs}{os.pathsep}{path}" if programs else path)

    def is_up(self, name: str) -> bool:
        """Whether it does its work: web answers, and not what a killed one left; a worker's loops
        run.
        """
        if self.has_ended(name):
            return False
        if name == "web":
            return bool(descendants(self.children[name].pid)) and self._answers()
        return len(self.threads(name)) >= IDLE_THREADS

    def wait_until_up(self) -> None:
        for name in self.children:
            wait_until(partial(self.is_up, name), f"{name} is up")

    def has_ended(self, name: str) -> bool:
        return self.children[name].poll() is not None

    def is_in_pass(self, name: str) -> bool:
        """Whether a worker is about to publish, or at it."""
        return len(self.threads(name)) > IDLE_THREADS

    def threads(self, name: str) -> list[int]:
        return [int(path.name) for path in Path(f"/proc/{self.children[name].pid}/task").iterdir()]

    def pause(self, name: str, service: Service) -> None:
        """SIGSTOP, outside any transaction: who stops inside of one holds up everybody else."""
        while True:
            send(self.children[name].pid, signal.SIGSTOP)
            with contextlib.suppress(DatabaseUnavailable), service.database.write() as session:
                session.execute(select(LeaseRow).with_for_update(nowait=True))
                return
            self.resume(name)

    def resume(self, name: str) -> None:
        send(self.children[name].pid, signal.SIGCONT)

    def kill(self, name: str, whom: Whom) -> None:
        """SIGKILL, at once; what was started on the Git host always runs on."""
        child = self.children[name]
        started = descendants(child.pid)
        pids = {Whom.ITSELF: [child.pid], Whom.CHILDREN: started, Whom.ALL: [child.pid, *started]}
        for pid in pids[whom]:
            send(pid, signal.SIGKILL)
        if whom is not Whom.CHILDREN:
            child.wait()

    def stop(self, *names: str) -> dict[str, int]:
        """SIGTERM to each (all, where none is named); their exit codes."""
        stopping = names or tuple(self.children)
        for name in stopping:
            self.children[name].terminate()
            self.resume(name)
        codes = {name: self._end_of(name) for name in stopping}
        for name in stopping:
            del self.children[name]
        return codes

    def close(self) -> None:
        """End what still runs."""
        for child in self.children.values():
            for pid in [*descendants(child.pid), child.pid]:
                send(pid, signal.SIGKILL)
            process.kill_group(child)

    # The Git host

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", f"--git-dir={self.remote}", *arguments],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    def folders(self) -> dict[str, str]:
        """Every folder on main, with its tree id."""
        if not self.git("for-each-ref", "refs/heads/main"):
            return {}
        lines = self.git("ls-tree", "-r", "-d", "main").splitlines()
        return {path: tree for _, _, tree, path in (line.split(maxsplit=3) for line in lines)}

    def hook(self, name: str, *lines: str) -> None:
        """Have the host run these lines of shell at that point of each push."""
        script = self.remote / "hooks" / name
        script.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        script.chmod(0o755)

    def pushes(self, *, landed: bool) -> list[tuple[str, str]]:
        """(old, new) of main in each push that reached the host, or of those that landed."""
        log = self.folder / f"{'post' if landed else 'pre'}-receive.log"
        lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
        return [(old, new) for old, new, ref in lines if ref == "refs/heads/main"]

    def forced_pushes(self) -> int:
        """How many pushes, landed or not, would have taken something off main."""
        return sum(not self._is_forward(old, new) for old, new in self.pushes(landed=False))

    def log_lines(self, event: str) -> list[dict[str, Any]]:
        """What all processes logged under this name."""
        texts = (path.read_text() for path in sorted(self.logs.glob("*.log")))
        lines = (line for text in texts for line in text.splitlines() if f'"{event}"' in line)
        return [json.loads(line) for line in lines]

    def _is_forward(self, old: str, new: str) -> bool:
        if NOTHING in (old, new):
            return new != NOTHING
        asked = ["git", f"--git-dir={self.remote}", "merge-base", "--is-ancestor", old, new]
        return subprocess.run(asked, check=False).returncode == 0

    def _start(self, name: str, command: str, **environment: str) -> None:
        argv = [sys.executable, "-m", "tenantry", command]
        log = self.logs / f"{name}.log"
        self.children[name] = process.start(argv, env=self._environment() | environment, log=log)

    def _end_of(self, name: str) -> int:
        try:
            return self.children[name].wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            send(self.children[name].pid, signal.SIGABRT)  # its log says then where it was
            raise

    def _settings(self) -> dict[str, Any]:
        cell = {
            "repository_url": str(self.remote),
            "sealing_certificate": str(VECTORS / "throwaway-cert.pem"),
        }
        return {
            "data_dir": str(self.folder / "data"),
            "database_url": self.database_url,
            "port": self.port,
            "public_url": self.url,
            "web_processes": 1,
            "publish_poll": 0.1,
            "publish_pause": 0.05,
            "mail_poll": 0.2,
            "cells": {"main": cell},
            **self.options,
        }

    def _environment(self) -> dict[str, str]:
        texts = {
            f"TENANTRY_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in self._settings().items()
        }
        package = Path(wiring.__file__).parents[2]
        return {
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": str(package),
            "PYTHONFAULTHANDLER": "1",
            **texts,
        }

    def _answers(self) -> bool:
        try:
            return SESSION.get(f"{self.url}/readyz", timeout=5).ok
        except requests.RequestException:
            return False


@contextlib.contextmanager
def running(site: Site, service: Service) -> Iterator[None]:
    """All of the site's processes, and the test's own connections, gone at the end."""
    try:
        yield
    finally:
        site.close()
        service.database.close()


def cell_of(service: Service) -> Cell:
    return service.cells["main"]


def send(pid: int, number: signal.Signals) -> None:
    """A signal to a process that may be gone by now."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def descendants(pid: int) -> list[int]:
    """Processes that this one started, and those that these did; without the Git host's."""
    parents = {child: (parent, name) for child, parent, name in _processes()}
    found, added = [pid], [pid]
    while added:
        added = [
            child
            for child, (parent, name) in parents.items()
            if parent in added and name not in OF_THE_HOST
        ]
        found += added
    return found[1:]


def running_pids() -> set[int]:
    """All processes that have not ended; who has, and was not reaped, does not count."""
    return {pid for pid, _, _ in _processes()}


def _processes() -> Iterator[tuple[int, int, str]]:
    """(pid, parent's pid, name) of all that run."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
                state, parent = rest.split()[:2]
                if state != "Z":
                    yield int(entry.name), int(parent), name

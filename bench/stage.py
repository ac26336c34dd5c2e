"""Where it is measured: a service, its repository on the same disk, and its real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from sqlalchemy import func, select

from bench.fleet import make_fleet
from tenantry import settings, wiring
from tenantry.adapters.database.tables import Tenant
from tenantry.adapters.git import create_bare
from tenantry.core.signup import parse_signup
from tenantry.flows.service import Service
from tenantry.flows.signups.signup import SignedUp, signup
from tenantry.settings import Settings
from tests.ports import free_port, is_open

ROOT = Path(__file__).parent.parent
CERTIFICATE = ROOT / "tests/data/kubeseal/throwaway-cert.pem"
REFLOG = "logs/refs/heads/main"
PATIENCE = 120.0  # seconds for anything that is waited for
_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")


@dataclass
class Stage:
    """A service with nobody else around. `tenants` are on main already."""

    folder: Path
    settings: Settings
    service: Service
    variables: Mapping[str, str]  # that give its processes the same settings
    tenants: list[str] = field(default_factory=list)  # customer ids

    @property
    def remote(self) -> Path:
        return self.folder / "tenants.git"

    def grow(self, count: int, console: Console) -> float:
        """See that `count` tenants are on main; seconds that it took."""
        missing, began = count - len(self.tenants), time.perf_counter()
        if missing > 0:
            with Progress(console=console, transient=True) as bar:
                task = bar.add_task(f"making {count} tenants", total=missing)
                self.tenants += make_fleet(
                    self.service, missing, lambda more: bar.advance(task, more)
                )
        return time.perf_counter() - began

    def sign_up(self, name: str) -> SignedUp:
        """One signup, by the flow that the web calls."""
        fields = {"email": f"{name}@example.com", "password": "SecurePass123", "company_name": name}
        request = parse_signup(fields, rules=self.service.password_rules)
        return signup(self.service, request, now=self.service.now())

    def count(self) -> int:
        """Tenants in the database."""
        with self.service.database.read() as session:
            return session.scalar(select(func.count()).select_from(Tenant)) or 0

    def head(self) -> str:
        """Main's head on the remote; "" where it has none. As quick as reading a file."""
        try:
            return (self.remote / "refs/heads/main").read_text("ascii").strip()
        except FileNotFoundError:
            return _git(self.remote, "for-each-ref", "--format=%(objectname)", "refs/heads/main")

    def commits(self) -> int:
        """On the remote's main."""
        return int(_git(self.remote, "rev-list", "--count", "main"))

    @contextmanager
    def process(self, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        """A real `tenantry …` on the same data, while the block runs."""
        command = [sys.executable, "-m", "tenantry", *arguments]
        with (self.folder / f"{arguments[0]}.log").open("ab") as log:
            child = subprocess.Popen(
                command,
                env={**self._environment(), **variables},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield child
        finally:
            _end(child)

    def run(self, module: str) -> str:
        """What another program of this checkout prints on the same data."""
        ran = subprocess.run(
            [sys.executable, "-m", module],
            env=self._environment(),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{module}: {ran.stderr[-2000:]}"
        return ran.stdout

    @contextmanager
    def serve(self, *, processes: int, threads: int) -> Iterator[tuple[int, int]]:
        """A real `tenantry serve` while the block runs: its process id, and the port it answers at.

        RuntimeError where it ends before it answers.
        """
        port = free_port()
        variables = {
            "TENANTRY_PORT": str(port),
            "TENANTRY_WEB_PROCESSES": str(processes),
            "TENANTRY_WEB_THREADS": str(threads),
        }
        with self.process("serve", **variables) as server:
            wait_until(lambda: is_open(port) or server.poll() is not None, every=0.05)
            if server.poll() is not None:
                raise RuntimeError((self.folder / "serve.log").read_text("utf-8")[-2000:])
            yield server.pid, port

    def check(self) -> str:
        """How the repository came through, in words. AssertionError where Git finds it damaged, or
        where a push dropped a commit from main: the remote's reflog has every one that landed.
        """
        _git(self.remote, "fsck", "--full", "--no-dangling", "--no-progress")
        commits = _git(self.remote, "rev-list", "--first-parent", "--reverse", "main").split()
        place = {commit: number for number, commit in enumerate(commits)}
        place["0" * 40] = -1  # what main showed before the first push
        moves = [
            line.split()[:2] for line in (self.remote / REFLOG).read_text("utf-8").splitlines()
        ]
        lost = len(place)  # no commit of main as it is now
        forced = sum(place.get(old, lost) >= place.get(new, lost) for old, new in moves)
        assert not forced, f"{forced} of {len(moves)} pushes dropped commits from main"
        return f"git fsck clean, {len(moves):,} pushes, 0 forced"

    def _environment(self) -> dict[str, str]:
        """Of its processes."""
        kept = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
        return {**kept, **self.variables}


@contextmanager
def make_stage(
    *,
    now: Callable[[], datetime] = wiring.utc_now,
    database_url: str | None = None,
    cell: Mapping[str, str] = {},
) -> Iterator[Stage]:
    """A new one, in a temporary folder; on SQLite where no database is named. `cell`: settings of
    its cell, beside those of its repository.
    """
    with tempfile.TemporaryDirectory(prefix="tenantry-bench-") as place:
        folder = Path(place)
        remote = folder / "tenants.git"
        create_bare(remote)
        # what a Git host does for its own house is no part of the figures
        _git(remote, "config", "receive.autogc", "false")
        _git(remote, "config", "core.logAllRefUpdates", "true")  # see Stage.check
        cell = {**cell, "repository_url": str(remote), "sealing_certificate": str(CERTIFICATE)}
        variables = {f"TENANTRY_CELLS__MAIN__{name.upper()}": text for name, text in cell.items()}
        variables["TENANTRY_DATA_DIR"] = str(folder)
        if database_url:
            variables["TENANTRY_DATABASE_URL"] = database_url
        configured = settings.load(data_dir=folder, cells={"main": cell}, database_url=database_url)
        service = wiring.build(configured, now=now)
        try:
            yield Stage(folder, configured, service, variables)
        finally:
            service.database.close()


def wait_until(is_so: Callable[[], bool], *, every: float = 0.002) -> float:
    """Seconds until it was so; TimeoutError where it never is."""
    began = time.perf_counter()
    while not is_so():
        if time.perf_counter() - began > PATIENCE:
            raise TimeoutError("what was waited for did not come")
        time.sleep(every)
    return time.perf_counter() - began


def timed(work: Callable[[], object]) -> float:
    """Seconds that the work took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(20)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _git(repository: Path, *arguments: str) -> str:
    command = ["git", f"--git-dir={repository}", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"git {arguments[0]}: {ran.stderr[-2000:]}"
    return ran.stdout.strip()

"""Where it is measured: a service on SQLite, a local repository, and its real processes."""

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
from tenantry.flows.signup import SignedUp, signup

CERTIFICATE = Path(__file__).parent.parent / "tests/data/kubeseal/throwaway-cert.pem"
PATIENCE = 120.0  # seconds for anything that is waited for
_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")


@dataclass
class Stage:
    """A service with nobody else around. `tenants` are on main already."""

    folder: Path
    service: Service
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
        environment = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
        command = [sys.executable, "-m", "tenantry", *arguments]
        with (self.folder / f"{arguments[0]}.log").open("ab") as log:
            child = subprocess.Popen(
                command,
                env={**environment, **self._variables(), **variables},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield child
        finally:
            _end(child)

    def _variables(self) -> Mapping[str, str]:
        return {
            "TENANTRY_DATA_DIR": str(self.folder),
            "TENANTRY_CELLS__MAIN__REPOSITORY_URL": str(self.remote),
            "TENANTRY_CELLS__MAIN__SEALING_CERTIFICATE": str(CERTIFICATE),
        }


@contextmanager
def make_stage(
    *, now: Callable[[], datetime] = wiring.utc_now, **changes: object
) -> Iterator[Stage]:
    """A new one, in a temporary folder; `changes` are settings."""
    with tempfile.TemporaryDirectory(prefix="tenantry-bench-") as place:
        folder = Path(place)
        create_bare(folder / "tenants.git")
        # what a Git host does for its own house is no part of the figures
        _git(folder / "tenants.git", "config", "receive.autogc", "false")
        cell = {
            "repository_url": str(folder / "tenants.git"),
            "sealing_certificate": CERTIFICATE,
        }
        configured = settings.load(data_dir=folder, cells={"main": cell}, **changes)
        service = wiring.build(configured, now=now)
        try:
            yield Stage(folder, service)
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
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

"""A whole service in one process: real database, Git, kubeseal and kustomize."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

from tenantry import settings, wiring
from tenantry.adapters.database.tables import Tenant
from tenantry.adapters.git import create_bare
from tenantry.adapters.product_folder import read_product_folder
from tenantry.core import naming
from tenantry.core.signup import parse_signup
from tenantry.core.structure import Shape
from tenantry.flows.publishing.publish import Published, publish_due
from tenantry.flows.service import Cell, Service
from tenantry.flows.signups.signup import SignedUp, signup
from tests import migrated
from tests.programs import require

VECTORS = Path(__file__).parent.parent / "data" / "kubeseal"
PASSWORD = "SecurePass123"
FEW_SHARDS = 4  # there are many worlds, and a shard should have several tenants
read_product_folder_once = cache(read_product_folder)


class Clock:
    """A clock that only tests move; each look is a moment later than the last."""

    tick = timedelta(seconds=1)

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.time += timedelta(milliseconds=1)
        return self.time


@dataclass
class World:
    """The service under test, its one cell, and the remote as a person with Git sees it."""

    service: Service
    clock: Clock
    folder: Path
    _numbers: Iterator[int]

    @property
    def cell(self) -> Cell:
        return self.service.cells["main"]

    @property
    def remote(self) -> Path:
        return self.folder / "tenants.git"

    def sign_up(self, **changes: Any) -> SignedUp:
        number = next(self._numbers)
        fields = {
            "email": f"customer-{number}@example.com",
            "password": PASSWORD,
            "company_name": f"Company {number}",
        }
        request = parse_signup(fields | changes, rules=self.service.password_rules)
        return signup(self.service, request, now=self.clock())

    def wait(self, minutes: float = 1) -> None:
        """Let time pass, such as until what failed is tried again."""
        self.clock.time += timedelta(minutes=minutes)

    def publish(self) -> Published:
        return publish_due(self.service, self.cell)

    def tenant(self, customer_id: str) -> Tenant:
        with self.service.database.read() as session:
            return session.get_one(Tenant, customer_id)

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", f"--git-dir={self.remote}", *arguments],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    def tenant_commits(self) -> list[str]:
        return self.git("log", "--format=%H", "main", "--", "tenants/").split()

    def folder_of(self, customer_id: str) -> str:
        return naming.folder(naming.tenant_name(naming.key_of(customer_id)))

    @contextmanager
    def work_tree(self) -> Iterator[Path]:
        """A clone as a reviewer has it; what is left in it is committed and pushed."""
        place = self.folder / f"reviewer-{next(self._numbers)}"
        run = ["git", "-c", "user.name=Reviewer", "-c", "user.email=r@example.com"]
        subprocess.run([*run, "clone", "-q", str(self.remote), str(place)], check=True)
        yield place
        subprocess.run([*run, "add", "-A"], cwd=place, check=True)
        subprocess.run([*run, "commit", "-qm", "By hand"], cwd=place, check=True)
        subprocess.run([*run, "push", "-q"], cwd=place, check=True)


def make_world(
    folder: Path, database_url: str, *, other_cells: Sequence[str] = (), **changes: Any
) -> World:
    """A new world; `changes` are settings, `cell` those of its first cell. Signups go there; other
    cells have nothing but a repository, named after them. A product folder is read once in this
    process, so one that is edited between two worlds needs another path.
    """
    for program in ("kubeseal", "kustomize"):
        require(program)
    cells = {}
    for name, place in {"main": "tenants", **{each: each for each in other_cells}}.items():
        create_bare(remote := folder / f"{place}.git")
        certificate = VECTORS / "throwaway-cert.pem"
        cells[name] = {
            "repository_url": str(remote),
            "sealing_certificate": certificate,
            "shards": FEW_SHARDS,
        }
    cells["main"] |= changes.pop("cell", {})
    configured = settings.load(
        data_dir=folder / "data",
        database_url=migrated.bring_up(database_url),
        cells=cells,
        **changes,
    )
    clock = Clock()
    with mock.patch.object(wiring, "read_product_folder", read_product_folder_once):
        service = wiring.build(configured, now=clock)
    service.database.wait = lambda _seconds: None  # nobody else writes
    for cell in service.cells.values():
        know_what_was_built(cell)
    return World(service, clock, folder, count(1))


def know_what_was_built(cell: Cell) -> None:
    """A class that one world of this process has built is as good in the next: what its key stands
    for, and the cell's facts, are all that it is built from. Else each world would begin with a
    build.
    """
    cell.checker._shapes = _BUILT.setdefault(repr(cell.facts), {})
    cell.checker._seen = Seen()


class Seen(Counter[str]):
    """Counts as the checker does, but from one: the first of a class is no sample of it."""

    def __missing__(self, key: str) -> int:
        return 1


_BUILT: dict[str, dict[str, Shape]] = {}  # by the facts of the cell

"""Worlds by the dozen: each example of a state machine gets its own, copied from one that is ready.

Keys, the database's tables and the built overlay classes are made once; database, remote and clones
are each example's own.
"""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from random import Random

import psycopg
from sqlalchemy import text

from tenantry import settings, wiring
from tenantry.adapters.git import create_bare
from tenantry.flows.service import Cell, Service
from tests.faults import LATE, Life, live
from tests.programs import require
from tests.system.world import FEW_SHARDS, VECTORS, Clock, know_what_was_built

HOOK = "hooks/pre-receive"


class ExampleWorld:
    """One example's service, remote and clock, and the people who write to the remote."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder, self.remote = folder, folder / "tenants.git"
        self.clock = Clock()
        cell = {
            "repository_url": str(self.remote),
            "sealing_certificate": VECTORS / "throwaway-cert.pem",
            "shards": FEW_SHARDS,
        }
        configured = settings.load(
            data_dir=folder / "data", database_url=database_url, cells={"main": cell}
        )
        self.service = wiring.build(configured, now=self.clock)
        know_what_was_built(self.service.cells["main"])
        self._numbers = count(1)

    @property
    def is_away(self) -> bool:
        """Whether nobody can reach the remote."""
        return not self.remote.exists()

    def forget_leases(self) -> None:
        """As after their length: whoever holds one was stopped for so long, or has died."""
        with self.service.database.write() as session:
            session.execute(text("DELETE FROM leases"))

    # The remote

    def take_away(self) -> None:
        """Nobody can reach it."""
        self.remote.rename(self.folder / "away.git")

    def bring_back(self) -> None:
        """Everybody can, if they could not."""
        if self.is_away:
            (self.folder / "away.git").rename(self.remote)

    def refuse(self, folder: str | None) -> None:
        """The server refuses every push, or those that touch the folder."""
        touches = f"git log --format= --name-only $new ^main | grep -q '^{folder}/'"
        script = f"#!/bin/sh\nread old new ref\n{touches if folder else 'true'} && exit 1\nexit 0\n"
        (self.remote / HOOK).write_text(script)
        (self.remote / HOOK).chmod(0o755)

    def allow(self) -> None:
        """It takes all again."""
        (self.remote / HOOK).unlink(missing_ok=True)

    def write_by_hand(self, commands: Sequence[tuple[str, bytes]]) -> str:
        """Somebody's commit on main, past all hooks: fast-import's commands and data. Its id."""
        name = f"Somebody <s@example.com> {1_700_000_000 + next(self._numbers)} +0000"
        stream = f"commit refs/heads/main\ncommitter {name}\n".encode() + _data(b"By hand\n")
        stream += b"from refs/heads/main^0\n"
        for line, content in commands:
            stream += line.encode() + b"\n" + (_data(content) if "inline" in line else b"")
        git = ["git", f"--git-dir={self.remote}"]
        subprocess.run([*git, "fast-import", "--quiet"], input=stream, check=True)
        found = subprocess.run([*git, "rev-parse", "main"], check=True, capture_output=True)
        return found.stdout.decode().strip()

    def close(self) -> None:
        """Leave nothing behind."""
        self.service.database.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Worker:
    """A process that publishes and takes signups; `reborn` after it died."""

    service: Service
    life: Life

    def __init__(self, world: ExampleWorld) -> None:
        self._world = world
        self.reborn()

    @property
    def cell(self) -> Cell:
        return self.service.cells["main"]

    @property
    def has_failed(self) -> bool:
        """Whether the fault in store for it made something fail; delay is no excuse."""
        fault = self.life.fault
        return self.life.has_happened and fault is not None and fault.kind not in LATE

    def reborn(self) -> None:
        """A process that knows nothing but what is stored; 3 s have passed until it is up."""
        self._world.forget_leases()
        self.life = Life()
        self.service = live(self._world.service, self.life, clones=self._world.folder / "clones")


class Playground:
    """Where worlds are copied from. `server_url` is PostgreSQL's; SQLite where there is none."""

    def __init__(self, folder: Path, server_url: str | None) -> None:
        for program in ("kubeseal", "kustomize"):
            require(program)
        self.is_sqlite = server_url is None
        self._folder, self._server_url = folder, server_url
        self._numbers = count(1)
        self.lots = Random(0)  # noqa: S311 - what is drawn is the same in each example
        self._ready, self._database = folder / "ready", f"ready_{uuid.uuid4().hex[:12]}"
        create_bare(self._ready / "tenants.git")
        if server_url:
            _run(server_url, f'CREATE DATABASE "{self._database}"')
        first = ExampleWorld(self._ready, self._url(self._ready, self._database))
        first.service.database.close()
        self._checker = first.service.cells["main"].checker

    def new_world(self) -> ExampleWorld:
        """A world of its own in which nothing has happened."""
        self.lots.seed(0)
        number = next(self._numbers)
        folder, database = self._folder / str(number), f"{self._database}_{number}"
        shutil.copytree(self._ready, folder)
        if self._server_url:
            _run(self._server_url, f'CREATE DATABASE "{database}" TEMPLATE "{self._database}"')
        world = ExampleWorld(folder, self._url(folder, database))
        checker = world.service.cells["main"].checker
        checker._shapes, checker._seen = self._checker._shapes, self._checker._seen
        return world

    def _url(self, folder: Path, database: str) -> str:
        if self._server_url is None:
            return f"sqlite:///{folder}/tenantry.db"
        url = self._server_url.replace("postgresql://", "postgresql+psycopg://")
        return url.replace("/postgres", f"/{database}")


def _run(server_url: str, statement: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(statement)


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)

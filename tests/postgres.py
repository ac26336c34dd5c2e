"""A PostgreSQL server of the tests' own, on a free loopback port, as an unprivileged user."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.ports import free_port
from tests.programs import require


class Server:
    """A server that tests may stop and start again. `url`: of its maintenance database."""

    def __init__(self, folder: Path) -> None:
        initdb, self._program = require("initdb"), require("postgres")
        self._owner = unprivileged_user()
        if self._owner:
            shutil.chown(folder, self._owner)
        self._folder = folder
        port = free_port()
        self.url = f"postgresql://tenantry@127.0.0.1:{port}/postgres"
        self._options = ["-p", str(port), "-h", "127.0.0.1", "-k", "", "-F"]
        self._options += ["-c", "max_connections=60"]
        self._child: subprocess.Popen[bytes] | None = None
        subprocess.run(
            [initdb, "-D", str(folder / "data"), "-U", "tenantry", "-A", "trust", "--no-sync",
             "-E", "UTF8"],
            check=True, user=self._owner, stdout=subprocess.DEVNULL, cwd=folder,
        )  # fmt: skip

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._child = subprocess.Popen(
            [self._program, "-D", str(self._folder / "data"), *self._options],
            user=self._owner, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd=self._folder,
        )  # fmt: skip
        wait_until_ready(self.url, self._child)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT hangs up on its clients, SIGQUIT is as a crash."""
        if self._child is not None:
            self._child.send_signal(how)
            self._child.wait(30)
            self._child = None


@contextmanager
def own_server() -> Iterator[Server]:
    """A running server; stopped and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="tenantry-pg-"))
    try:
        server = Server(folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def server() -> Iterator[str]:
    """The URL of a running server's maintenance database; stopped and removed at the end."""
    with own_server() as running:
        yield running.url


def new_database(server_url: str, *, template: str = "template1") -> str:
    """An empty database on the server, or a copy of another; its URL as `tenantry` takes it."""
    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return server_url.replace("postgresql://", "postgresql+psycopg://").replace(
        "/postgres", "/" + name
    )


def unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def wait_until_ready(url: str, child: subprocess.Popen[bytes]) -> None:
    """Wait until the server lets one in."""
    for _ in range(300):
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            try:
                child.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            raise
        else:
            return
    raise TimeoutError("PostgreSQL did not start")

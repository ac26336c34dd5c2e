"""A PostgreSQL server of the tests' own, on a free loopback port, as an unprivileged user."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.programs import require


@contextmanager
def server() -> Iterator[str]:
    """The URL of a running server's maintenance database; stopped and removed at the end."""
    initdb, postgres = require("initdb"), require("postgres")
    owner = _unprivileged_user()
    folder = Path(tempfile.mkdtemp(prefix="tenantry-pg-"))
    try:
        if owner:
            shutil.chown(folder, owner)
        data, port = folder / "data", _free_port()
        subprocess.run(
            [initdb, "-D", str(data), "-U", "tenantry", "-A", "trust", "--no-sync", "-E", "UTF8"],
            check=True, user=owner, stdout=subprocess.DEVNULL, cwd=folder,
        )  # fmt: skip
        options = ["-p", str(port), "-h", "127.0.0.1", "-k", "", "-F", "-c", "max_connections=60"]
        child = subprocess.Popen(
            [postgres, "-D", str(data), *options],
            user=owner, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
        )  # fmt: skip
        try:
            url = f"postgresql://tenantry@127.0.0.1:{port}/postgres"
            _wait_until_ready(url, child)
            yield url
        finally:
            child.send_signal(2)  # SIGINT: fast shutdown
            child.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_database(server_url: str) -> str:
    """An empty database on the server; its URL as `tenantry` takes it."""
    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return server_url.replace("postgresql://", "postgresql+psycopg://").replace(
        "/postgres", "/" + name
    )


def _unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(url: str, child: subprocess.Popen[bytes]) -> None:
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

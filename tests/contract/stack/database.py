"""The tenant's real PostgreSQL, set up and started as the image does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.contract.stack.deployment import CONFIG, said
from tests.contract.stack.local import give_away, own_folder, run, running
from tests.ports import free_port
from tests.postgres import wait_until_ready
from tests.programs import require

OWNER, DATABASE = said("postgres", "POSTGRES_USER"), said("postgres", "POSTGRES_DB")


@dataclass(frozen=True)
class Server:
    folder: Path
    port: int

    def connect(self, user: str, password: str) -> psycopg.Connection:
        """As another pod does."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=user, password=password, dbname=DATABASE,
            connect_timeout=10, require_auth="scram-sha-256",
        )  # fmt: skip


@contextmanager
def started(folder: Path, password: str) -> Iterator[Server]:
    """A server whose container got this password."""
    data, port = folder / "data", free_port()
    first = not (data / "PG_VERSION").exists()
    if first:
        _initialize(data, password)
    options = ["-p", str(port), "-h", "127.0.0.1", "-k", str(folder), "-F"]
    with running([require("postgres"), "-D", str(data), *options], folder, port) as child:
        wait_until_ready(f"postgresql://{OWNER}@/postgres?host={folder}&port={port}", child)
        if first:
            _fill(folder, port, password)
        yield Server(folder, port)


@contextmanager
def new_server(password: str) -> Iterator[Server]:
    with own_folder() as folder, started(folder, password) as server:
        yield server


def _initialize(data: Path, password: str) -> None:
    """The image's last line of pg_hba.conf, for other pods, is here for every host, since all
    clients of a test come from where the image trusts them.
    """
    written = data.parent / "password"
    written.write_text(f"{password}\n")
    give_away(written)
    command = [require("initdb"), "-D", str(data), f"--username={OWNER}", f"--pwfile={written}"]
    command += ["--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync"]
    run([*command, *said("postgres", "POSTGRES_INITDB_ARGS").split()], data.parent)
    written.unlink()


def _fill(folder: Path, port: int, password: str) -> None:
    """The database, then what is mounted at /docker-entrypoint-initdb.d: over the socket, which
    needs no password.
    """
    psql = [require("psql"), "-v", "ON_ERROR_STOP=1", "--no-psqlrc", "--quiet", "-U", OWNER]
    psql += ["-h", str(folder), "-p", str(port)]
    run([*psql, "-d", "postgres", "-c", f'CREATE DATABASE "{DATABASE}"'], folder)
    for script in sorted((CONFIG / "postgres").iterdir()):
        text = script.read_text("utf-8")
        run([*psql, "-d", DATABASE], folder, stdin=text, POSTGRES_PASSWORD=password)

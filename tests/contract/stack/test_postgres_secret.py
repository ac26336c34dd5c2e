"""PostgreSQL takes its password from the secret at its first start and never again, which is why
that secret's class of rotation is `never`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import yaml

from tests.contract.stack.deployment import BASE, said
from tests.contract.stack.local import give_away, own_folder, run, running
from tests.ports import free_port
from tests.postgres import wait_until_ready
from tests.programs import require

PRODUCT = BASE.parents[2] / "product.yaml"
FIRST, SECOND = "Jm4wTq9ZkRb2XvL6", "Hn7cYs3GdPf8KuW5"


def set_up(data: Path, password: str) -> None:
    """What docker-entrypoint.sh of the image `postgres` does before the first start: of this
    password only, and only in an empty folder. Its last line of pg_hba.conf, for other pods, is
    here for every host, since all clients of a test come from where the image trusts them.
    """
    if (data / "PG_VERSION").exists():
        return
    written = data.parent / "password"
    written.write_text(f"{password}\n")
    give_away(written)
    command = [
        require("initdb"),
        "-D",
        str(data),
        f"--username={said('postgres', 'POSTGRES_USER')}",
    ]
    command += [f"--pwfile={written}", "--auth-local=trust", "--auth-host=scram-sha-256"]
    run([*command, "--no-sync", *said("postgres", "POSTGRES_INITDB_ARGS").split()], data.parent)
    written.unlink()


@contextmanager
def started(folder: Path, password: str) -> Iterator[int]:
    """The port of a server whose container got this password."""
    set_up(folder / "data", password)
    port = free_port()
    command = [require("postgres"), "-D", str(folder / "data"), "-p", str(port), "-F"]
    command += ["-h", "127.0.0.1", "-k", str(folder)]
    url = f"postgresql://{said('postgres', 'POSTGRES_USER')}@/postgres?host={folder}&port={port}"
    with running(command, folder, port) as child:
        wait_until_ready(url, child)
        create_database(url)
        yield port


def create_database(url: str) -> None:
    """As the entry point does, over its socket, which needs no password."""
    with psycopg.connect(url, autocommit=True) as connection:
        names = connection.execute("SELECT datname FROM pg_database").fetchall()
        if (said("postgres", "POSTGRES_DB"),) not in names:
            connection.execute(f'CREATE DATABASE "{said("postgres", "POSTGRES_DB")}"')


def log_in(port: int, password: str) -> None:
    """As another pod."""
    psycopg.connect(
        host="127.0.0.1",
        port=port,
        user=said("postgres", "POSTGRES_USER"),
        dbname=said("postgres", "POSTGRES_DB"),
        password=password,
        connect_timeout=10,
        require_auth="scram-sha-256",
    ).close()


def assert_opens(port: int, *, right: str, wrong: str) -> None:
    log_in(port, right)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        log_in(port, wrong)


def test_the_first_start_takes_the_password_and_no_later_one_does() -> None:
    with own_folder() as folder:
        with started(folder, FIRST) as port:
            assert_opens(port, right=FIRST, wrong=SECOND)
        with started(folder, SECOND) as port:
            assert_opens(port, right=FIRST, wrong=SECOND)


def test_so_the_product_file_never_rotates_it() -> None:
    keys = yaml.safe_load(PRODUCT.read_text("utf-8"))["secret"]["keys"]
    assert keys["POSTGRES_PASSWORD"]["rotation"] == "never"

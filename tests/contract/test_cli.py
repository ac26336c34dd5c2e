"""`tenantry` as an operator runs it: real processes, their exit codes, and what they say."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from tenantry import assets
from tenantry.adapters.database import schema
from tenantry.adapters.git import create_bare
from tenantry.flows import keys
from tests import postgres
from tests.ports import free_port
from tests.programs import require

VECTORS = Path(__file__).parent.parent / "data" / "kubeseal"
TENANTRY = [sys.executable, "-m", "tenantry"]
WITHIN = 60.0  # seconds; a busy machine starts slowly
STOPS_WITHIN = 30.0  # seconds


class Installation:
    """A folder to run `tenantry` in, with settings and nothing else in its environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.port = free_port()
        create_bare(folder / "tenants.git")
        self.settings = {
            "DATA_DIR": str(folder / "data"),
            "PORT": str(self.port),
            "WEB_PROCESSES": "1",
            "CELLS__MAIN__REPOSITORY_URL": str(folder / "tenants.git"),
            "CELLS__MAIN__SEALING_CERTIFICATE": str(VECTORS / "throwaway-cert.pem"),
        }

    @property
    def environment(self) -> dict[str, str]:
        settings = {f"TENANTRY_{name}": value for name, value in self.settings.items()}
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), **settings}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*TENANTRY, *arguments], env=self.environment, cwd=self.folder, check=False,
            capture_output=True, text=True, timeout=WITHIN,
        )  # fmt: skip

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A long-running command; whatever is left of it at the end is killed."""
        with self.log.open("wb") as log:
            child = subprocess.Popen(
                [*TENANTRY, *arguments], env=self.environment, cwd=self.folder,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            yield child
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    def get(self, path: str) -> requests.Response | None:
        try:
            return requests.get(f"http://127.0.0.1:{self.port}{path}", timeout=5)
        except requests.ConnectionError:
            return None

    def is_ready(self) -> bool:
        answer = self.get("/readyz")
        return answer is not None and answer.ok


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def wait(condition: Callable[[], bool], child: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + WITHIN
    while not condition():
        assert child.poll() is None, log.read_text()
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.02)


def stop(child: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> int:
    child.send_signal(number)
    return child.wait(STOPS_WITHIN)


def says_one_line(result: subprocess.CompletedProcess[str]) -> str:
    """What a command that failed on purpose printed."""
    assert (result.returncode, result.stdout) == (1, ""), result
    (line,) = result.stderr.splitlines()
    assert line.startswith("tenantry: ")
    return line


# Usage


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["no-such-command"], ["serve", "--port", "many"], ["db"], ["demo", "--json"]),
        *(["demo", "--clock-speed", speed] for speed in ("0", "5.1", "nan", "soon")),
        ["demo", "--once", "--review", "--clock-speed", "2"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_two(installation: Installation, arguments: list[str]) -> None:
    result = installation.run(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Usage: " in result.stderr
    assert not (installation.folder / "data").exists()


@pytest.mark.parametrize("arguments", [["-h"], ["--version"]])
def test_help_and_version_exit_with_zero(installation: Installation, arguments: list[str]) -> None:
    result = installation.run(*arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert "tenantry" in result.stdout


def test_doctor_is_one_json_object_and_exits_with_one(installation: Installation) -> None:
    result = installation.run("doctor", "--json")
    assert (result.returncode, result.stderr) == (1, "")
    found = json.loads(result.stdout)["findings"]
    programs = {f"program.{name}" for name in ("kubeseal", "kustomize")}
    bad = {each["id"] for each in found if not each["ok"]} - programs
    assert bad == {"cell.main.argocd"}


CRASHING = """
from tenantry.cli import main
def crash():
    raise ValueError("Key (email_key)=(canary@example.com) exists")
main.cli = crash
main.main()
"""


def test_a_fault_of_its_own_is_one_line_that_quotes_no_value(installation: Installation) -> None:
    result = subprocess.run(
        [sys.executable, "-c", CRASHING], env=installation.environment, cwd=installation.folder,
        check=False, capture_output=True, text=True, timeout=WITHIN,
    )  # fmt: skip
    line = says_one_line(result)
    assert "ValueError <string>:4 crash" in line
    assert "canary" not in line


# Database


def test_database_is_upgraded_twice_harmlessly(installation: Installation) -> None:
    first, second = installation.run("db", "upgrade"), installation.run("db", "upgrade")
    assert (first.returncode, first.stdout) == (0, f"database at {schema.head()}, was None\n")
    assert (second.returncode, second.stdout) == (0, f"database at {schema.head()} already\n")


def test_postgresql_is_upgraded_by_url_in_a_file(
    installation: Installation, postgres_server: str
) -> None:
    file = installation.folder / "url"
    file.write_text(postgres.new_database(postgres_server) + "\n")
    installation.settings["DATABASE_URL_FILE"] = str(file)
    assert installation.run("db", "upgrade").stdout == f"database at {schema.head()}, was None\n"
    assert installation.run("db", "upgrade").stdout == f"database at {schema.head()} already\n"


# What is wrong at start


WRONG = {
    "port": ("PORT", "many", "TENANTRY_PORT: "),
    "cells": ("CELLS", "{broken", "TENANTRY_CELLS: is not JSON"),
    "data": ("DATA_DIR", "/dev/null/data", "/dev/null/data: Not a directory"),
    "keys": ("KEYS_DIR", "/dev/null/keys", "/dev/null/keys: Not a directory"),
    "url": ("DATABASE_URL", "nonsense", "TENANTRY_DATABASE_URL is not a URL"),
    "database": (
        "DATABASE_URL",
        "postgresql+psycopg://tenantry:canary@127.0.0.1:1/tenantry",
        "the database does not answer: connection failed: ",
    ),
    "secret": ("DATABASE_URL_FILE", "/nonexistent", "/nonexistent: No such file"),
    "product": ("PRODUCT_DIR", "/nonexistent", "product.yaml: cannot be read"),
}


@pytest.mark.parametrize(("name", "value", "says"), WRONG.values(), ids=list(WRONG))
def test_what_is_wrong_at_start_is_one_line(
    installation: Installation, name: str, value: str, says: str
) -> None:
    installation.settings[name] = value
    line = says_one_line(installation.run("worker"))
    assert says in line
    assert "canary" not in line


@pytest.mark.parametrize("command", ["serve", "worker"])
@pytest.mark.parametrize(
    ("path", "old", "new", "where"),
    [
        ("product.yaml", "days: 14", "days: soon", "product.yaml:"),
        ("overlay/namespace.yaml", "{{", "{{ nobody.", "namespace.yaml:"),
        ("mail/ready.html", "{% endblock %}", "{% endblok %}", "mail/ready.html:2"),
    ],
)
def test_broken_product_is_one_line_with_file_line_and_hint(
    installation: Installation, command: str, path: str, old: str, new: str, where: str
) -> None:
    folder = installation.folder / "product"
    shutil.copytree(assets.path("tenant_templates"), folder)
    text = (folder / path).read_text()
    assert old in text
    (folder / path).write_text(text.replace(old, new))
    installation.settings["PRODUCT_DIR"] = str(folder)
    line = says_one_line(installation.run(command))
    assert where in line
    assert line.endswith(")")


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_production_refuses_missing_and_development_keys(
    installation: Installation, command: str
) -> None:
    installation.settings |= PRODUCTION
    line = says_one_line(installation.run(command))
    assert "license-key.pem is missing (see keys/README.md" in line
    keys.make_development_keys(installation.folder / "data" / "keys", algorithm="EdDSA")
    line = says_one_line(installation.run(command))
    assert "license-key.pem is a development key (see keys/README.md" in line


# A folder that is named is where mail is meant to go.
PRODUCTION = {"ENVIRONMENT": "production", "MAIL_DIR": "mail"}


def make_production_keys(folder: Path) -> None:
    """As an operator does; only the marks tell them from those of development."""
    keys.make_development_keys(folder, algorithm="EdDSA")
    for name in (keys.LICENSE_KEY, keys.PUBLIC_KEY, keys.VAULT_KEYS):
        text = (folder / name).read_text().removeprefix(keys.DEVELOPMENT_MARK)
        (folder / name).write_text(text)


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_production_waits_for_its_database_and_a_real_certificate(
    installation: Installation, command: str
) -> None:
    folder = installation.folder / "data" / "keys"
    make_production_keys(folder)
    installation.settings |= PRODUCTION
    line = says_one_line(installation.run(command))
    assert "not up to date (run `tenantry db upgrade`)" in line
    assert installation.run("db", "upgrade").returncode == 0
    keys.make_sealing_pair(folder, datetime.now(UTC))
    certificate = str(folder / keys.SEALING_CERTIFICATE)
    installation.settings["CELLS__MAIN__SEALING_CERTIFICATE"] = certificate
    assert "is a development certificate" in says_one_line(installation.run(command))


# Running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_answers_until_it_is_told_to_stop(
    installation: Installation, number: signal.Signals
) -> None:
    with installation.running("serve") as child:
        wait(installation.is_ready, child, installation.log)
        health = installation.get("/healthz")
        assert health is not None
        assert (health.status_code, health.json()) == (200, {"status": "ok"})
        assert stop(child, number) == 0
    assert installation.get("/healthz") is None
    assert "Traceback" not in installation.log.read_text()


def test_options_of_serve_win_over_settings(installation: Installation) -> None:
    installation.port = free_port()
    with installation.running("serve", "--port", str(installation.port)) as child:
        wait(installation.is_ready, child, installation.log)
        assert stop(child) == 0


def test_serve_in_production_answers_with_real_keys(installation: Installation) -> None:
    make_production_keys(installation.folder / "data" / "keys")
    installation.settings |= PRODUCTION
    assert installation.run("db", "upgrade").returncode == 0
    with installation.running("serve") as child:
        wait(installation.is_ready, child, installation.log)
        jwks = installation.get("/.well-known/jwks.json")
        assert jwks is not None
        assert [key["alg"] for key in jwks.json()["keys"]] == ["EdDSA"]
        assert stop(child) == 0


def test_port_that_is_taken_ends_serve_with_one_line(installation: Installation) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", installation.port))
        taken.listen()
        result = installation.run("serve")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "TENANTRY_PORT" in line, line


def sign_up(installation: Installation) -> None:
    answer = requests.post(
        f"http://127.0.0.1:{installation.port}/api/customers/signup",
        json={"email": "a@example.com", "password": "SecurePass123", "company_name": "Corp"},
        timeout=30,
    )
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_worker_publishes_and_mails_until_it_is_told_to_stop(
    installation: Installation, number: signal.Signals
) -> None:
    for program in ("kubeseal", "kustomize"):
        require(program)
    installation.settings["CELLS__MAIN__INSTANCE_URL"] = "http://{host}:1"
    with installation.running("serve") as child:
        wait(installation.is_ready, child, installation.log)
        sign_up(installation)
        assert stop(child) == 0
    mail, main = installation.folder / "data" / "mail", installation.folder / "tenants.git"

    def done() -> bool:
        return any(mail.glob("welcome-*.eml")) and any((main / "refs" / "heads").iterdir())

    with installation.running("worker") as child:
        wait(done, child, installation.log)
        assert stop(child, number) == 0
    lines = [json.loads(line) for line in installation.log.read_text().splitlines()]
    assert {"tenant.published", "mail.sent"} <= {line["event"] for line in lines}
    assert not [line for line in lines if line["level"] in ("error", "critical")]


def test_worker_without_a_repository_says_so_and_goes_on(installation: Installation) -> None:
    """What is missing comes late, such as a repository that is made after the first start."""
    for program in ("kubeseal", "kustomize"):
        require(program)
    shutil.rmtree(installation.folder / "tenants.git")
    with installation.running("serve") as child:
        wait(installation.is_ready, child, installation.log)
        sign_up(installation)
        assert stop(child) == 0

    def failed() -> bool:
        return "loop.failed" in installation.log.read_text()

    with installation.running("worker") as child:
        wait(failed, child, installation.log)
        create_bare(installation.folder / "tenants.git")
        heads = installation.folder / "tenants.git" / "refs" / "heads"
        wait(lambda: any(heads.iterdir()), child, installation.log)
        assert stop(child) == 0
    assert "loop.crashed" not in installation.log.read_text()


def test_demo_is_of_the_product_that_the_setting_names(installation: Installation) -> None:
    installation.settings["PRODUCT_DIR"] = str(installation.folder / "nowhere")
    result = installation.run("demo", "--once")
    assert result.returncode == 2
    assert "nowhere' does not exist" in result.stderr


def test_without_a_repository_the_remedy_is_told(installation: Installation) -> None:
    del installation.settings["CELLS__MAIN__REPOSITORY_URL"]
    result = installation.run("init")
    assert result.returncode == 1
    assert "set REPOSITORY_URL of the cell" in result.stderr


def test_demo_does_not_start_on_a_port_that_is_taken(installation: Installation) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        data = str(installation.folder / "demo")
        result = installation.run("demo", "--once", "--json", "--port", str(port), "--data", data)
    assert result.returncode == 1
    assert f"port {port}: Address already in use (choose another with --port)" in result.stderr
    assert not (installation.folder / "demo" / "logs").exists()

"""A process that does everything once, well and badly, with secrets that a test knows.

`python -m tests.system.canary_life FOLDER DATABASE_URL`: logs go to standard error, at the level of
debug; what strangers are answered goes to FOLDER/seen/answers, argv and environment of every child
to FOLDER/seen/children, and what commands print to FOLDER/seen/commands. Ends with FOLDER/told, the
secrets that only this process knew.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from click.testing import CliRunner
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tenantry import logs
from tenantry.adapters import process
from tenantry.adapters.git import Access, TenantsRepository
from tenantry.cli.main import cli
from tenantry.core.errors import TenantryError
from tenantry.flows.mailing.sending import send_due
from tenantry.flows.publishing.publish import publish_due
from tenantry.web.app import create_app
from tenantry.worker import Loop
from tests.system.world import VECTORS, World, make_world

PASSWORD = "Kanári-€42 %+&<b>\"'\\"
GIT_TOKEN = "glpat-K4nar13nv0gelT0ken"
ADDRESS = "/api/customers/signup"
BROWSER = {"Accept": "text/html"}
KEY = {"Idempotency-Key": "the-key-of-the-first"}
LIMITS = {"signup_limit_email": "3/hour", "signup_limit_address": "99/hour"}
PROGRAMS = ("git", "kubeseal", "kustomize", "ssh", "env", "sh")


def main(folder: Path, url: str) -> None:
    (folder / "seen").mkdir(parents=True)
    logs.configure("json")
    for name in ("", "sqlalchemy.engine", "urllib3", "werkzeug"):
        logging.getLogger(name or None).setLevel(logging.DEBUG)
    world = make_world(folder, url, **LIMITS)
    record_children(folder)
    client = create_app(world.service).test_client()
    token = go_the_whole_way(world, client)
    answers = [
        *ask_as_a_stranger(client),
        *fail_in_the_web(client),
    ]
    fail_in_the_worker(world, folder)
    (folder / "seen" / "answers").write_text("\n".join(answers))
    (folder / "told").write_text(json.dumps({"only_in_mail": [token]}))
    world.service.database.close()
    (folder / "seen" / "commands").write_text("\n".join(run_commands(folder, url)))


def record_children(folder: Path) -> None:
    """Every program is one of ours first, which writes down how it was called."""
    (place := folder / "programs").mkdir()
    for name in PROGRAMS:
        real = process.find_program(name, remedy="")
        write_program(
            place / name,
            f'{{ printf "%s\\n" "$0" "$@"; {process.find_program("env", remedy="")}; }}'
            f" >> '{folder}/seen/children'\nexec {real} \"$@\"",
        )
    process._PROGRAM_FOLDERS.insert(0, str(place))


def write_program(path: Path, code: str) -> None:
    path.write_text(f"#!/bin/sh\n{code}\n")
    path.chmod(0o755)


def go_the_whole_way(world: World, client: FlaskClient) -> str:
    """Signup, asked for twice, status page, commit and mail; the status token."""
    answer, again = (
        client.post(ADDRESS, json=body("first@example.com"), headers=KEY) for _ in range(2)
    )
    assert answer.status_code == 201, answer.text
    assert again.data == answer.data
    token = str(answer.get_json()["deployment"]["status_url"]).rpartition("/")[2]
    assert client.get(f"/status/{token}").status_code == 200
    assert len(world.publish().tenants) == 1
    assert send_due(world.service) == 1
    return token


def body(email: str, **changes: Any) -> dict[str, Any]:
    return {"email": email, "password": PASSWORD, "company_name": "Company"} | changes


def ask_as_a_stranger(client: FlaskClient) -> list[str]:
    """What is answered to those who are refused; the password is in everything they send."""
    first = body("first@example.com")

    def post(**options: Any) -> TestResponse:
        return client.post(ADDRESS, **options)

    answers = [
        (409, post(json=first)),
        (409, post(data=first, headers=BROWSER)),
        (429, post(json=first)),
        (429, post(data=first, headers=BROWSER)),
        (422, post(json=first | {"company_name": "Another"}, headers=KEY)),
        (400, post(json=body("no address"))),
        (400, post(data=body("no address"), headers=BROWSER)),
        (400, post(json=body("a@example.com", company_name=[PASSWORD]))),
        (400, post(json=body(PASSWORD))),
        (400, post(json={"email": "a@example.com", "password": {"a": PASSWORD}})),
        (400, post(data=PASSWORD, content_type="application/json")),
        (400, post(json=first, headers={"Idempotency-Key": PASSWORD})),
        (415, post(data=PASSWORD, content_type="text/plain")),
        (200, client.get("/")),
        (404, client.get("/status/guessed")),
        (404, client.get("/api/customers/cust-bcdfghjkmn/deployment")),
        (200, client.get("/readyz")),
    ]
    for expected, answer in answers:
        assert answer.status_code == expected, answer.text
    return [answer.text + str(answer.headers) for _, answer in answers]


def fail_in_the_web(client: FlaskClient) -> list[str]:
    """A bug whose exception quotes what it was given, and one of the database."""
    crash = ValueError(f"cannot hash {PASSWORD!r}")
    answers = []
    hashing = "tenantry.flows.signups.signup.hash_password"
    with patch(hashing, side_effect=crash):
        answers.append(client.post(ADDRESS, json=body("second@example.com")))
    with patch(
        "tenantry.flows.signups.signup.hash_password", return_value=None
    ):  # a NOT NULL column
        answers.append(client.post(ADDRESS, json=body("second@example.com")))
    assert {answer.status_code for answer in answers} == {500}
    return [answer.text + str(answer.headers) for answer in answers]


def fail_in_the_worker(world: World, folder: Path) -> None:
    """Programs that repeat what they were given on standard error, and a bug that quotes it."""
    world.sign_up(email="third@example.com", password=PASSWORD)
    program = folder / "programs" / "kubeseal"
    well = program.read_text()
    for code in ("cat >&2; exit 1", "cat; exit 0", "cat | tr -d '\\n' >&2; exit 1"):
        write_program(program, code)
        run_loop(lambda: publish_due(world.service, world.cell))
        world.wait()
    program.write_text(well)
    fail_in_git(world, folder)
    run_loop(lambda: crash_with(PASSWORD))


def fail_in_git(world: World, folder: Path) -> None:
    """A git that says where it sent the token."""
    token_file = folder / "git-token"
    token_file.write_text(GIT_TOKEN)
    remote = "https://git.example.com/tenants.git"
    repository = TenantsRepository(
        remote, folder / "clone.git", access=Access(token_file=token_file), deadline=20
    )
    program = folder / "programs" / "git"
    well = program.read_text()
    said = f"fatal: unable to access 'https://x:{GIT_TOKEN}@git.example.com/': 401"
    failing = f'case "$*" in *fetch*) echo "{said}" >&2; exit 128;; esac'
    program.write_text(well.replace("exec ", f"{failing}\nexec "))
    cell = replace(world.cell, repository=repository)
    run_loop(lambda: publish_due(world.service, cell))
    program.write_text(well)
    world.wait()


def run_commands(folder: Path, url: str) -> list[str]:
    """What commands print, of an import with everything wrong in it, too."""
    good = {"email": "imported@example.com", "company_name": "Company"}
    lines = [good, good | {"password": PASSWORD}, good | {"password_hash": PASSWORD},
             good | {"email": PASSWORD}, good | {"company_name": [PASSWORD]}]  # fmt: skip
    file = folder / "customers.jsonl"
    file.write_text("\n".join([*map(json.dumps, lines), PASSWORD]))
    environment = {
        "TENANTRY_DATA_DIR": str(folder / "data"),
        "TENANTRY_DATABASE_URL": url,
        "TENANTRY_CELLS__MAIN__REPOSITORY_URL": str(folder / "tenants.git"),
        "TENANTRY_CELLS__MAIN__SEALING_CERTIFICATE": str(VECTORS / "throwaway-cert.pem"),
    }
    commands = [
        ["tenants", "import", "--no-wait", str(file)],
        ["tenants", "list"],
        ["repo", "status"],
        ["repo", "audit", "--full"],
        ["doctor"],
    ]
    return [CliRunner(env=environment).invoke(cli, command).output for command in commands]


def crash_with(secret: str) -> float:
    try:
        raise KeyError(secret)
    except KeyError as error:
        raise RuntimeError(f"no {secret}") from error


def run_loop(one_pass: Callable[[], object]) -> None:
    """One failing pass of a worker's loop, on its thread, with what the loop says of it."""
    stopping = threading.Event()
    failed = list[BaseException]()

    def once() -> float:
        try:
            one_pass()
        except (TenantryError, RuntimeError) as error:
            failed.append(error)
            stopping.set()
            raise
        raise AssertionError("it was to fail")

    loop = Loop("canary", once, stopping)
    loop.start()
    loop.join(60)
    assert failed


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

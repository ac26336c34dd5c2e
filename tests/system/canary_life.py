"""A process that does everything once, well and badly, with secrets that a test knows.

`python -m tests.system.canary_life FOLDER DATABASE_URL`: logs go to standard error, at the level of
debug; what strangers are answered goes to FOLDER/seen/answers, and argv and environment of every
child to FOLDER/seen/children. Ends with FOLDER/told, the secrets that only this process knew.
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

from flask.testing import FlaskClient

from tenantry import logs
from tenantry.adapters import process
from tenantry.adapters.git import Access, TenantsRepository
from tenantry.core.errors import TenantryError
from tenantry.flows import outbox
from tenantry.flows.publish import publish_due
from tenantry.web.app import create_app
from tenantry.worker import Loop
from tests.system.world import World, make_world

PASSWORD = "Kanári-€42 %+&<b>\"'\\"
GIT_TOKEN = "glpat-K4nar13nv0gelT0ken"
ADDRESS = "/api/customers/signup"
PROGRAMS = ("git", "kubeseal", "kustomize", "ssh", "env", "sh")


def main(folder: Path, url: str) -> None:
    (folder / "seen").mkdir(parents=True)
    logs.configure("json")
    for name in ("", "sqlalchemy.engine", "urllib3", "werkzeug"):
        logging.getLogger(name or None).setLevel(logging.DEBUG)
    world = make_world(folder, url)
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
    """Signup, status page, commit and mail; the status token."""
    answer = client.post(ADDRESS, json=body("first@example.com"))
    assert answer.status_code == 201, answer.text
    token = str(answer.get_json()["deployment"]["status_url"]).rpartition("/")[2]
    assert client.get(f"/status/{token}").status_code == 200
    assert len(world.publish().tenants) == 1
    assert outbox.send_due(world.service, now=world.clock()) == 1
    return token


def body(email: str, **changes: Any) -> dict[str, Any]:
    return {"email": email, "password": PASSWORD, "company_name": "Company"} | changes


def ask_as_a_stranger(client: FlaskClient) -> list[str]:
    """What is answered to those who are refused; the password is in everything they send."""
    requests: list[Callable[[], Any]] = [
        lambda: client.post(ADDRESS, json=body("first@example.com")),
        lambda: client.post(ADDRESS, json=body("no address")),
        lambda: client.post(ADDRESS, json=body("a@example.com", company_name=[PASSWORD])),
        lambda: client.post(ADDRESS, json=body(PASSWORD)),
        lambda: client.post(ADDRESS, json={"email": "a@example.com", "password": {"a": PASSWORD}}),
        lambda: client.post(ADDRESS, data=PASSWORD, content_type="application/json"),
        lambda: client.post("/signup", data=body("first@example.com")),
        lambda: client.post("/signup", data=body("no address")),
        lambda: client.get("/signup"),
        lambda: client.get("/status/guessed"),
        lambda: client.get("/readyz"),
        lambda: client.get("/metrics"),
        lambda: client.get("/api/customers/cust-bcdfghjkmn/deployment"),
    ]
    answers = [request() for request in requests]
    assert {answer.status_code for answer in answers} <= {200, 400, 401, 404, 409, 422}
    return [answer.text + str(answer.headers) for answer in answers]


def fail_in_the_web(client: FlaskClient) -> list[str]:
    """A bug whose exception quotes what it was given, and one of the database."""
    crash = ValueError(f"cannot hash {PASSWORD!r}")
    answers = []
    with patch("tenantry.flows.signup.hash_password", side_effect=crash):
        answers.append(client.post(ADDRESS, json=body("second@example.com")))
    with patch("tenantry.flows.signup.hash_password", return_value=None):  # a NOT NULL column
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

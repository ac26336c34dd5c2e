"""Importing customers, and the commands over many tenants as an operator runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tenantry.adapters.customer_list import Line, read_customers
from tenantry.adapters.database.tables import Audit, Customer, LicenseHistory, Outbox, Tenant
from tenantry.adapters.passwords import NO_PASSWORD, hash_password
from tenantry.flows import importing
from tenantry.flows.importing import Taken, import_lines
from tests.system.test_bulk import on_sqlite
from tests.system.world import PASSWORD, VECTORS, World

WITHIN = 60.0  # seconds; only what is broken takes them


def lines(count: int) -> list[Line]:
    return [
        Line(number, {"email": f"c{number}@example.com", "company_name": f"Company {number}"})
        for number in range(1, count + 1)
    ]


def take(world: World, given: list[Line], *, welcome: bool = False) -> Taken:
    """All of them, as one page would tell it."""
    pages = list(import_lines(world.service, given, welcome=welcome))
    return Taken(
        {each: 1 for page in pages for each in page.generations},
        sum(page.known for page in pages),
        {number: reason for page in pages for number, reason in page.failed.items()},
        sum(page.looked_at for page in pages),
    )


def count(world: World, table: type) -> int:
    with world.service.database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


# The flow


def test_an_imported_customer_has_all_that_a_signup_makes(world: World) -> None:
    made = hash_password(PASSWORD)
    given = {"email": "ada@example.com", "company_name": "Test Corp", "password_hash": made}
    ((customer_id,), known) = (take(world, [Line(2, given)]).generations, 0)
    assert known == count(world, Outbox) == 0
    with world.service.database.read() as session:
        customer = session.get_one(Customer, customer_id)
        history = session.scalars(select(LicenseHistory)).one()
        audit = session.scalars(select(Audit)).one()
    assert (customer.password_hash, customer.time_zone) == (made, "UTC")
    assert (history.generated_by, audit.actor, audit.action) == (
        "import", "import", "customer.signed_up",
    )  # fmt: skip
    assert world.tenant(customer_id).is_bulk
    assert world.publish().tenants.keys() == {customer_id}
    assert not world.tenant(customer_id).is_bulk


@on_sqlite
def test_welcome_is_sent_only_where_it_is_asked_for(world: World) -> None:
    take(world, lines(2))
    assert count(world, Outbox) == 0
    take(world, lines(3), welcome=True)
    assert count(world, Outbox) == 1


def test_a_known_email_is_left_as_it_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "PAGE", 2)
    signed_up = world.sign_up(email="c2@example.com")
    twice = Line(9, {"email": "C1@EXAMPLE.com", "company_name": "Again"})
    first = take(world, [*lines(5), twice])
    again = take(world, [*lines(5), twice])
    assert (len(first.generations), first.known) == (4, 2)
    assert (len(again.generations), again.known) == (0, 6)
    with world.service.database.read() as session:
        assert session.get_one(Customer, signed_up.customer_id).company_name != "Company 2"
        hashes = set(session.scalars(select(Customer.password_hash)))
    assert NO_PASSWORD in hashes


def test_an_email_that_is_taken_meanwhile_costs_nobody_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite a second writer waits, so the race is put between looking and storing."""
    known, once = importing._known, iter([True])

    def known_before_the_signup(*arguments: object) -> list[str]:
        found = known(*arguments)  # type: ignore[arg-type]
        return [] if next(once, False) else found

    world.sign_up(email="c2@example.com")
    monkeypatch.setattr(importing, "_known", known_before_the_signup)
    taken = take(world, lines(3))
    assert (len(taken.generations), taken.known) == (2, 1)


@on_sqlite
def test_each_bad_line_is_told_and_the_rest_is_taken(world: World, tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text(
        "email,company_name,time_zone\na@example.com,A,\nnonsense,B,\nc@example.com,C\n"
        "d@example.com,D,Mars/Olympus\ne@example.com,E,Europe/Berlin\n"
    )
    taken = take(world, list(read_customers(path)))
    assert (len(taken.generations), taken.looked_at) == (2, 5)
    assert taken.failed == {
        3: "Invalid email format",
        4: "has 2 fields; the header has 3",
        5: "Unknown time zone; give an IANA name such as Europe/Berlin",
    }


# The commands


class Operator:
    """Somebody who runs `tenantry` beside the world, on the same data."""

    def __init__(self, world: World) -> None:
        url = world.service.database.engine.url.render_as_string(hide_password=False)
        settings = {
            "DATA_DIR": str(world.folder / "data"),
            "DATABASE_URL": url,
            "CELLS__MAIN__REPOSITORY_URL": str(world.remote),
            "CELLS__MAIN__SEALING_CERTIFICATE": str(VECTORS / "throwaway-cert.pem"),
        }
        named = {f"TENANTRY_{name}": value for name, value in settings.items()}
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(world.folder), **named}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tenantry", *arguments], env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        child = self.start(*arguments)
        out, err = child.communicate(timeout=WITHIN)
        return child.returncode, out, err


def wait(condition: Callable[[], bool], child: subprocess.Popen[str]) -> None:
    give_up = time.monotonic() + WITHIN
    while not condition():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < give_up
        time.sleep(0.005)


def write_csv(path: Path, count: int) -> Path:
    rows = "".join(f"c{number}@example.com,Company {number}\n" for number in range(count))
    path.write_text("email,company_name\n" + rows)
    return path


@on_sqlite
def test_an_import_that_is_stopped_goes_on_where_it_ended(world: World, tmp_path: Path) -> None:
    file, operator = write_csv(tmp_path / "c.csv", 250), Operator(world)
    child = operator.start("tenants", "import", str(file))
    wait(lambda: count(world, Customer) > 0, child)
    with world.service.database.write():  # it waits for us in the middle of a page
        child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=WITHIN)
    done = count(world, Customer)
    (said,) = err.splitlines()
    assert child.returncode == 130
    assert said == (
        f"tenantry: stopped; looked at {done}, marked {done}; a worker goes on with {done} of "
        "them; to go on: the same command; who is there is left as it is"
    )
    assert 0 < done < 250
    assert done % importing.PAGE == 0  # whole transactions
    code, out, err = operator.run("tenants", "import", str(file), "--no-wait", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["looked_at"], told["marked"], told["already_there"]) == (250, 250 - done, done)
    assert count(world, Customer) == count(world, Tenant) == 250


@on_sqlite
def test_commands_over_many_tell_sum_up_and_exit_as_they_say(world: World, tmp_path: Path) -> None:
    operator, file = Operator(world), tmp_path / "c.jsonl"
    good = [{"email": f"c{number}@example.com", "company_name": "C"} for number in range(3)]
    bad = {"email": "x@example.com", "company_name": "X", "password": "canary-password"}
    file.write_text("".join(json.dumps(each) + "\n" for each in [*good, bad]))
    code, out, err = operator.run("tenants", "import", str(file))
    assert (code, out.splitlines()) == (
        1, ["4 looked at, 3 marked, 3 published, 1 failed, 0 waiting, 0 already there"],
    )  # fmt: skip
    assert err.startswith(f"{file}:4: plain passwords are not imported")
    assert "canary-password" not in out + err
    code, out, err = operator.run("tenants", "list", "--json")
    ids = [json.loads(line)["customer_id"] for line in out.splitlines()]
    assert (code, len(ids), err) == (0, 3, "")
    code, out, err = operator.run("tenants", "reseal", "--all", ids[0], "cust-nobody", "--json")
    assert (code, json.loads(out)["published"]) == (1, 1)
    assert err == "cust-nobody: there is no such tenant\n"


@on_sqlite
def test_the_audit_command_tells_findings_and_exits_as_it_says(world: World) -> None:
    operator = Operator(world)
    customer_id = world.sign_up().customer_id
    world.publish()
    head = world.git("rev-parse", "main")
    with world.work_tree() as place:
        path = place / world.folder_of(customer_id) / "namespace.yaml"
        path.write_text(path.read_text() + "# by hand\n")
    code, out, err = operator.run("repo", "audit")
    finding, summary = out.splitlines()
    assert (code, err) == (1, "")
    assert finding.startswith(f"tree_differs: {customer_id} ")
    assert summary.endswith("1 tenants, 0 about to be published: 1 tree_differs")
    code, out, _ = operator.run("repo", "audit", "--repair", "--overwrite", customer_id, "--json")
    told = json.loads(out)
    assert (code, told["findings"]) == (0, [])
    assert told["repaired"] == [{"customer_id": customer_id, "findings": ["tree_differs"]}]
    world.git("update-ref", "refs/heads/main", head)
    assert operator.run("repo", "accept-history", "--yes")[0] == 0
    code, out, _ = operator.run("repo", "audit", "--repair")
    assert (code, out.splitlines()[-1].rpartition(": ")[2]) == (0, "nothing wrong")
    code, out, _ = operator.run("repo", "status", "--json")
    told = json.loads(out)
    assert (code, told["halted"], told["behind"]) == (0, None, 0)
    assert told["head"] == world.git("rev-parse", "main")

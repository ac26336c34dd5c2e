"""The commands over many tenants as an operator runs them: what they say, Ctrl-C, exit codes."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from tenantry.adapters.database.tables import Customer, Tenant
from tenantry.flows.fleet import importing
from tenantry.flows.publishing.publish import publish_due
from tests.invariants import check_invariants
from tests.migrated import on_sqlite
from tests.system.console import WITHIN, Operator, wait, write_csv
from tests.system.fleet import publish_all
from tests.system.world import PASSWORD, World, make_world

# where a command is a process of its own, and the database is tried by the flows' tests


@pytest.fixture
def two_cells(tmp_path: Path, database_url: str) -> Iterator[World]:
    """A world with two cells."""
    world = make_world(tmp_path, database_url, other_cells=["other"])
    yield world
    check_invariants(world.service, canaries=[PASSWORD])
    world.service.database.close()


def count(world: World, table: type) -> int:
    with world.service.database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def publish_in_both(world: World, count: int) -> list[str]:
    """So many in each cell: those of the other, then those of main."""
    ids = sorted(world.sign_up().customer_id for _ in range(2 * count))
    moved = update(Tenant).where(Tenant.customer_id.in_(ids[:count]))
    with world.service.database.write() as session:
        session.execute(moved.values(cell="other"))
    for cell in world.service.cells.values():
        publish_due(world.service, cell)
    return ids


def generations(world: World, customer_ids: list[str]) -> list[int]:
    return [world.tenant(each).generation for each in customer_ids]


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


# Ctrl-C


@pytest.mark.parametrize("command", ["reseal", "rerender"])
def test_what_goes_through_all_goes_on_behind_where_it_was_stopped(
    world: World, command: str
) -> None:
    ids, operator = publish_all(world, 5), Operator(world)
    code, err = operator.stop_at_page(2, "tenants", command, "--all")
    (said,) = err.splitlines()
    assert (code, generations(world, ids)) == (130, [2, 2, 2, 2, 1])
    assert said == (
        "tenantry: stopped; looked at 4, marked 4; a worker goes on with 4 of them; to go on: the "
        f"same command with --after {ids[3]}"
    )
    advice = said.rpartition(" with ")[2].split()
    code, out, err = operator.run("tenants", command, "--all", *advice, "--json")
    assert (code, err, json.loads(out)["marked"]) == (0, "", 1)
    assert generations(world, ids) == [2] * 5
    world.publish()


@on_sqlite
def test_with_two_cells_the_advice_leads_to_the_rest_of_both(two_cells: World) -> None:
    ids, operator = publish_in_both(two_cells, 3), Operator(two_cells)
    _, err = operator.stop_at_page(1, "tenants", "reseal", "--all")
    found = re.search(r"with (--after) (\S+)$", err.strip())
    assert found, err
    code, out, err = operator.run("tenants", "reseal", "--all", *found.groups(), "--json")
    assert (code, err, json.loads(out)["marked"]) == (0, "", 4)
    assert generations(two_cells, ids) == [2] * 6
    wrong = operator.run("tenants", "reseal", "--all", "--cell", "main", "--after", ids[0])
    assert (wrong[0], f"--after {ids[0]}: there is no such tenant" in wrong[2]) == (2, True)
    two_cells.publish()


@on_sqlite
def test_a_cell_that_cannot_be_read_keeps_no_other_from_being_done(two_cells: World) -> None:
    publish_in_both(two_cells, 1)
    away = two_cells.remote.rename(two_cells.folder / "away.git")
    code, out, err = Operator(two_cells).run("tenants", "rerender", "--json")
    assert (code, json.loads(out)["looked_at"], json.loads(out)["failed"]) == (1, 1, 1)
    assert err.startswith("cell main: fetch failed: ")
    away.rename(two_cells.remote)


@on_sqlite
def test_a_retry_that_is_stopped_is_simply_run_again(world: World) -> None:
    ids, operator = publish_all(world, 3), Operator(world)
    code, err = operator.stop_at_page(1, "tenants", "retry", *ids)
    assert (code, err) == (
        130, "tenantry: stopped; looked at 2, marked 0; to go on: the same command\n",
    )  # fmt: skip


# At a terminal


@on_sqlite
def test_at_a_terminal_bars_show_how_far_it_is(world: World) -> None:
    publish_all(world, 3)
    operator = Operator(world)
    operator.environment |= {"TERM": "xterm", "COLUMNS": "100"}
    code, out, shown = operator.run_at_terminal("tenants", "reseal", "--all", "cust-\x1b]0;x")
    assert (code, out) == (1, "0 looked at, 0 marked, 0 published, 1 failed, 0 waiting\n")
    assert "cust-�]0;x: there is no such tenant" in shown
    code, out, shown = operator.run_at_terminal("tenants", "reseal", "--all")
    assert (code, out) == (0, "3 looked at, 3 marked, 3 published, 0 failed, 0 waiting\n")
    for title in ("resealing", "publishing"):
        assert re.search(rf"{title}[^\r\n]*3/3", shown), shown

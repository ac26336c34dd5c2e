"""`tenantry diff`: what waits for a review, as an operator reads it in a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from click.testing import CliRunner, Result

from tenantry.cli.main import cli
from tenantry.core.errors import NotFound
from tenantry.core.review import ChangeKind
from tenantry.flows.reviewing.changes import request_change
from tests.system.world import World, make_world

COMPANY = "Ac\u202eme <b>"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("diff")
    made = make_world(folder, f"sqlite:///{folder}/tenantry.db")
    yield made
    made.service.database.close()


@pytest.fixture(scope="module")
def customer(world: World) -> str:
    """A customer whose tenant is on main, with a change of plan that waits."""
    customer_id = world.sign_up(company_name=COMPANY).customer_id
    world.publish()
    fields = {"plan": "professional"}
    request_change(
        world.service, world.cell, customer_id, ChangeKind.PLAN, fields, actor="operator"
    )
    return customer_id


@pytest.fixture(autouse=True)
def runs_in_the_world(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenantry.cli.diff.opened", lambda: nullcontext(world.service))


def diff(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["diff", *arguments])


def test_it_shows_facts_and_differences(customer: str) -> None:
    result = diff(customer)
    assert result.exit_code == 0, (result.output, result.exception)
    lines = result.output.splitlines()
    assert "PersistentVolumeClaim/postgres-data" in lines
    assert "+      storage: 20Gi" in lines
    assert f"{customer}: plan starter → professional" in lines
    assert "  company:    Ac�me <b>" in lines
    assert "  license:    max_devices 10 → 100; until " in result.output
    assert "\x1b" not in result.output  # colors are for a terminal
    assert "refused" not in result.output


def test_programs_get_the_same(customer: str) -> None:
    found = json.loads(diff(customer, "--json").output)
    assert found["customer_id"] == customer
    (entry,) = found["waiting"]
    assert entry["plan"] == {"old": "starter", "new": "professional"}
    assert entry["kinds"] == ["plan"]
    assert entry["content"]["problems"] == []
    assert {each["new"] for each in entry["content"]["differences"]} >= {"ResourceQuota/plan"}


def test_nothing_may_wait(world: World) -> None:
    other = world.sign_up().customer_id
    result = diff(other)
    assert (result.exit_code, result.output) == (0, f"{other}: nothing waits for a review\n")
    assert json.loads(diff(other, "--json").output)["waiting"] == []


def test_an_unknown_customer_is_refused() -> None:
    result = diff("cust-bcdfghjkmn")
    assert isinstance(result.exception, NotFound)
    assert result.exception.message == "there is no customer cust-bcdfghjkmn"

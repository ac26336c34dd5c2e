"""Changes as an operator asks for them, lists and declines them: what the commands say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import update

from tenantry.adapters.database.tables import Tenant
from tenantry.cli.main import cli
from tenantry.core.errors import ChangeRefused, NotFound
from tests.invariants import check_invariants
from tests.migrated import on_sqlite
from tests.system.console import Operator
from tests.system.world import PASSWORD, World, make_world

STRANGER = "cust-bcdfghjkmn"


pytestmark = on_sqlite  # what the flows do with a database is tried by their own tests


class Desk:
    """An operator's commands, in this process and on the world's own service."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = world
        monkeypatch.setattr("tenantry.cli.changes.opened", lambda: nullcontext(world.service))

    def try_to(self, *arguments: str) -> Result:
        return CliRunner().invoke(cli, list(arguments))

    def run(self, *arguments: str) -> str:
        result = self.try_to(*arguments)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    def told(self, *arguments: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run(*arguments, "--json").splitlines()]

    def generation(self, customer_id: str) -> int:
        return self.world.tenant(customer_id).generation


Desks = Callable[..., Desk]


@pytest.fixture
def desks(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desks]:
    """Makes the one desk, by its cell's settings."""
    worlds = []

    def make(*other_cells: str, **cell: Any) -> Desk:
        worlds.append(make_world(tmp_path, database_url, other_cells=other_cells, cell=cell))
        return Desk(worlds[0], monkeypatch)

    yield make
    (world,) = worlds
    check_invariants(world.service, canaries=[PASSWORD])
    world.service.database.close()


@pytest.fixture
def desk(desks: Desks) -> Desk:
    return desks()


@pytest.fixture
def customer(desk: Desk) -> str:
    return desk.world.sign_up().customer_id


def test_what_goes_out_at_once_says_so_and_waits_for_nobody(desk: Desk, customer: str) -> None:
    said = desk.run("tenants", "state", customer, "suspended")
    assert said.startswith(f"{customer}: state suspended goes out at once, as generation 2;")
    assert desk.generation(customer) == 2
    assert desk.run("changes", "list") == "no changes to list\n"
    (over,) = desk.told("changes", "list", "--all")
    assert (over["kind"], over["outcome"], over["decided_by"]) == ("state", "applied", "operator")


def test_what_waits_says_where_it_is_looked_at(desk: Desk, customer: str) -> None:
    said = desk.run("tenants", "plan", customer, "professional")
    assert said == (
        f"{customer}: plan professional waits for a review; look at it with `tenantry diff "
        f"{customer}`\n"
    )
    assert desk.generation(customer) == 1
    line = desk.run("changes", "list")
    assert line.startswith(f"{customer}  plan  plan professional  waits on ")
    (waiting,) = desk.told("changes", "list")
    assert (waiting["fields"], waiting["actor"]) == ({"plan": "professional"}, "operator")


def test_a_program_reads_the_same(desk: Desk, customer: str) -> None:
    assert desk.told("tenants", "plan", customer, "professional") == [
        {"customer_id": customer, "kind": "plan", "mode": "review", "generation": 1}
    ]
    assert desk.told("tenants", "state", customer, "read-only") == [
        {"customer_id": customer, "kind": "state", "mode": "direct", "generation": 2}
    ]


def test_what_waits_can_be_declined_once(desk: Desk, customer: str) -> None:
    desk.run("tenants", "plan", customer, "professional")
    assert desk.run("changes", "decline", customer) == f"{customer}: 1 declined\n"
    assert desk.run("changes", "list") == "no changes to list\n"
    assert [each["outcome"] for each in desk.told("changes", "list", "--all")] == ["declined"]
    assert isinstance(desk.try_to("changes", "decline", customer).exception, ChangeRefused)
    desk.run("tenants", "plan", customer, "professional")
    assert desk.told("changes", "decline", customer) == [{"customer_id": customer, "declined": 1}]


def test_one_tenants_changes_can_be_listed(desk: Desk, customer: str) -> None:
    other = desk.world.sign_up().customer_id
    for each in (customer, other):
        desk.run("tenants", "plan", each, "professional")
    listed = [each["customer_id"] for each in desk.told("changes", "list")]
    assert listed == [other, customer]  # newest first
    (only,) = desk.told("changes", "list", "--customer", customer)
    assert only["customer_id"] == customer


def test_a_platform_that_main_does_not_have_is_refused(desk: Desk, customer: str) -> None:
    refused = desk.try_to("tenants", "platform", customer, "v9").exception
    assert isinstance(refused, ChangeRefused)
    assert "cell main has no platform v9 (see `tenantry platform list`)" in str(refused)
    assert desk.run("changes", "list", "--all") == "no changes to list\n"


def test_a_platform_that_it_runs_is_refused(desk: Desk, customer: str) -> None:
    refused = desk.try_to("tenants", "platform", customer, "v1").exception
    assert isinstance(refused, ChangeRefused)
    assert "has platform v1 already" in str(refused)


@pytest.mark.parametrize(
    "command",
    [
        ("tenants", "plan", STRANGER, "professional"),
        ("tenants", "state", STRANGER, "suspended"),
        ("tenants", "platform", STRANGER, "v1"),
        ("changes", "decline", STRANGER),
    ],
    ids=" ".join,
)
def test_a_tenant_that_is_none_is_named(desk: Desk, command: tuple[str, ...]) -> None:
    refused = desk.try_to(*command).exception
    assert isinstance(refused, NotFound)
    assert f"there is no customer {STRANGER}" in str(refused)


@pytest.mark.parametrize("state", ["deleting", "gone"])
def test_a_state_that_cannot_be_asked_for_is_a_wrong_usage(
    desk: Desk, customer: str, state: str
) -> None:
    assert desk.try_to("tenants", "state", customer, state).exit_code == 2


def test_with_all_reviewed_even_a_suspension_waits(desks: Desks) -> None:
    desk = desks(review_everything=True)
    customer = desk.world.sign_up().customer_id
    (done,) = desk.told("tenants", "state", customer, "suspended")
    assert (done["mode"], done["generation"]) == ("review", 0)
    kinds = [each["kind"] for each in desk.told("changes", "list")]
    assert kinds == ["state", "signup"]


def test_what_is_made_at_once_waits_with_a_signup_that_waits(desks: Desks) -> None:
    desk = desks(review_signup="review")
    customer = desk.world.sign_up().customer_id
    said = desk.run("tenants", "state", customer, "suspended")
    assert said.startswith(f"{customer}: state suspended waits with its signup;")


def test_each_cells_changes_are_its_own(desks: Desks) -> None:
    desk = desks("other")
    here, there = (desk.world.sign_up().customer_id for _ in range(2))
    with desk.world.service.database.write() as session:
        session.execute(update(Tenant).where(Tenant.customer_id == there).values(cell="other"))
    for each in (here, there):
        desk.run("tenants", "plan", each, "professional")
    (listed,) = desk.told("changes", "list", "--cell", "other")
    assert listed["customer_id"] == there
    assert len(desk.told("changes", "list")) == 2
    assert desk.try_to("changes", "list", "--cell", "west").exit_code == 2


def test_a_refusal_is_one_line_and_exit_code_1(world: World) -> None:
    customer = world.sign_up().customer_id
    code, out, err = Operator(world).run("tenants", "plan", customer, "golden")
    assert (code, out) == (1, "")
    assert err.startswith("tenantry: there is no plan 'golden' (choose from starter, ")
    assert err.count("\n") == 1

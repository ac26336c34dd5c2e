"""The switches of the whole service: what each keeps from being done, and that nothing is lost."""

from __future__ import annotations

import json
from functools import partial

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient
from sqlalchemy import func, select

from tenantry.adapters.database.base import Base
from tenantry.adapters.database.tables import Audit, Flag
from tenantry.cli.main import cli
from tenantry.core.errors import PublishPaused, ReadOnlyService, TenantryError
from tenantry.core.model import FlagName
from tenantry.flows.flags import read_flags, set_flag
from tenantry.settings import Settings
from tenantry.web.app import create_app
from tenantry.worker import Worker
from tests.migrated import on_sqlite
from tests.system.console import Operator
from tests.system.world import PASSWORD, World

PERSON = {"email": "new@example.com", "password": PASSWORD, "company_name": "New"}
BROWSER = {"Accept": "text/html"}


def switch(world: World, name: FlagName, *, is_on: bool, why: str = "") -> None:
    set_flag(world.service, name, is_on=is_on, why=why, actor="operator")


def client_of(world: World) -> FlaskClient:
    return create_app(world.service).test_client()


def run(world: World, *arguments: str) -> Result:
    """A command on the same data."""
    return CliRunner(env=Operator(world).environment).invoke(cli, arguments)


def count_rows(world: World) -> int:
    with world.service.database.read() as session:
        tables = Base.metadata.sorted_tables
        return sum(session.scalar(select(func.count()).select_from(each)) or 0 for each in tables)


def test_a_row_stands_only_while_a_switch_is_moved_and_each_move_is_in_the_audit(
    world: World,
) -> None:
    assert not any(each.is_moved for each in read_flags(world.service))
    switch(world, FlagName.PUBLISH_PAUSED, is_on=True, why="first")
    switch(world, FlagName.PUBLISH_PAUSED, is_on=True, why="second")
    (moved,) = (each for each in read_flags(world.service) if each.is_moved)
    assert (moved.name, moved.actor, moved.note) == ("publish_paused", "operator", "second")
    switch(world, FlagName.PUBLISH_PAUSED, is_on=False)
    with world.service.database.read() as session:
        assert session.scalars(select(Flag)).all() == []
        told = session.scalars(select(Audit.details).where(Audit.action == "flag.set")).all()
    assert [(each["flag"], each["on"]) for each in told] == [
        ("publish_paused", True), ("publish_paused", True), ("publish_paused", False),
    ]  # fmt: skip


@on_sqlite
def test_closed_signups_are_refused_calmly_and_leave_nothing(world: World) -> None:
    client = client_of(world)
    switch(world, FlagName.SIGNUPS_OPEN, is_on=False)
    before = count_rows(world)
    answer = client.post(
        "/api/customers/signup", json=PERSON, headers={"Idempotency-Key": "k" * 20}
    )
    assert (answer.status_code, answer.get_json()["code"]) == (503, "signups_closed")
    assert int(answer.headers["Retry-After"]) > 0
    shown = client.post("/api/customers/signup", data=PERSON, headers=BROWSER)
    assert (shown.status_code, "Signups are closed" in shown.text) == (503, True)
    page = client.get("/", headers=BROWSER)
    assert (page.status_code, "Signups are closed" in page.text) == (200, True)
    assert "<form" not in page.text
    assert count_rows(world) == before
    switch(world, FlagName.SIGNUPS_OPEN, is_on=True)
    assert "<form" in client.get("/", headers=BROWSER).text
    assert client.post("/api/customers/signup", json=PERSON).status_code == 201


@on_sqlite
def test_paused_publishing_pushes_nothing_and_goes_on_at_once(world: World) -> None:
    customer_id = world.sign_up().customer_id
    switch(world, FlagName.PUBLISH_PAUSED, is_on=True)
    with pytest.raises(PublishPaused, match="tenantry flags set publish_paused off"):
        world.publish()
    assert world.git("for-each-ref") == ""
    assert client_of(world).post("/api/customers/signup", json=PERSON).status_code == 201
    switch(world, FlagName.PUBLISH_PAUSED, is_on=False)
    assert customer_id in world.publish().tenants


@on_sqlite
def test_nothing_is_written_while_the_service_is_read_only(world: World) -> None:
    client, done = client_of(world), world.sign_up()
    switch(world, FlagName.READ_ONLY_SERVICE, is_on=True)
    before = count_rows(world)
    for path in _paths_that_write(client):
        answer = client.post(path)
        assert (answer.status_code, answer.get_json()["code"]) == (503, "read_only_service"), path
        assert int(answer.headers["Retry-After"]) > 0
    with pytest.raises(ReadOnlyService):
        world.publish()
    assert client.get(f"/status/{done.status_token}", headers=BROWSER).status_code == 200
    assert "Signups are closed" in client.get("/", headers=BROWSER).text
    assert count_rows(world) == before


def _paths_that_write(client: FlaskClient) -> list[str]:
    """One for each route that takes a POST, whatever it is."""
    rules = [
        rule for rule in client.application.url_map.iter_rules() if "POST" in (rule.methods or ())
    ]
    paths = ["".join("x" if is_name else text for is_name, text in rule._trace) for rule in rules]
    return [path.removeprefix("|") for path in paths]


@on_sqlite
def test_a_worker_rests_while_the_service_is_read_only(world: World) -> None:
    worker = Worker(world.service, Settings())
    passes = {loop.name: loop._one_pass for loop in worker._loops}
    switch(world, FlagName.READ_ONLY_SERVICE, is_on=True)
    world.sign_up()
    resting = {name for name, one_pass in passes.items() if _is_held(one_pass)}
    assert resting == {"mailer", "lifecycle", "housekeeper", "publisher-main"}
    switch(world, FlagName.READ_ONLY_SERVICE, is_on=False)
    assert not any(_is_held(passes[name]) for name in resting)


def _is_held(one_pass: object) -> bool:
    assert callable(one_pass)
    try:
        one_pass()
    except ReadOnlyService:
        return True
    except TenantryError:
        return False
    return False


@on_sqlite
def test_moved_switches_are_told_wherever_operators_look(world: World) -> None:
    client, operator = client_of(world), partial(run, world)
    assert client.get("/readyz").json == {"status": "ready", "findings": [], "flags": []}
    moved = operator("flags", "set", "publish_paused", "on", "--why", "the move")
    assert (moved.exit_code, moved.output) == (0, "publish_paused is on\n")
    ready = client.get("/readyz")
    assert (ready.status_code, ready.get_json()["flags"]) == (200, ["publish_paused"])
    told = json.loads(operator("flags", "list", "--json").output)["flags"]
    assert [(each["name"], each["is_on"], each["moved"]) for each in told] == [
        ("signups_open", True, False), ("publish_paused", True, True),
        ("read_only_service", False, False),
    ]  # fmt: skip
    first, *_ = operator("status").output.splitlines()
    assert first.startswith("publish_paused is on since ")
    assert first.endswith("Z by operator: the move")
    assert 'tenantry_flag{name="publish_paused"} 1.0' in client.get("/metrics").text
    back = json.loads(operator("flags", "set", "publish_paused", "off", "--json").output)
    assert (back["name"], back["is_on"], back["moved"]) == ("publish_paused", False, False)
    assert operator("flags", "set", "nonsense", "on").exit_code == 2

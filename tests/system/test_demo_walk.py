"""The demo in which days pass in seconds: from trial to paid with real processes, and what its time
waits for.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import select, update

from tenantry import assets, settings, wiring
from tenantry.adapters.clock import ShiftedClock
from tenantry.adapters.database.base import Base
from tenantry.adapters.database.tables import (
    Customer,
    Deployment,
    Outbox,
    Subscription,
    Tenant,
    Watch,
)
from tenantry.adapters.passwords import hash_password
from tenantry.cli.demo import clock
from tenantry.cli.demo.clock import FASTEST, LONGEST_STEP, Flight, is_quiet
from tenantry.cli.demo.stack import Stack, settings_of
from tenantry.cli.demo.walk import plan_to_pay
from tenantry.core import naming
from tenantry.core.errors import ProgramError, TenantryError
from tenantry.core.model import Status
from tenantry.flows.service import Service
from tenantry.flows.sight import blind_cells
from tenantry.flows.signups import signup
from tests.invariants import check_invariants
from tests.ports import free_port_and_next
from tests.programs import require
from tests.system.test_whole_way import processes_with
from tests.system.world import World, make_world

# stage, status, plan, whether the instance answers, mails, commits
WALK = [
    ("trialing", "ready", "starter", True, 2, 1),
    ("trialing", "ready", "starter", True, 1, 0),  # 7 days left
    ("trialing", "ready", "starter", True, 1, 0),  # 2 days left
    ("read_only", "read_only", "starter", True, 1, 1),
    ("read_only", "read_only", "starter", True, 1, 0),  # suspended tomorrow
    ("suspended", "suspended", "starter", False, 1, 1),
    ("active", "ready", "professional", True, 2, 1),
]
DAYS = [0, 7, 12, 15, 17, 18, 18]  # after the signup's; a trial ends with its day 14
MAILS = [
    "welcome", "is ready", "7 days left", "2 days left", "trial has ended",
    "is suspended on", "is suspended", "payment", "plan is Professional",
]  # fmt: skip
STATES = [
    ("starter", "active"),
    ("starter", "read-only"),
    ("starter", "suspended"),
    ("professional", "active"),
]


@pytest.mark.timeout(240)
def test_once_with_a_speed_goes_from_trial_to_paid_and_leaves_no_process(tmp_path: Path) -> None:
    for program in ("kubeseal", "kustomize"):
        require(program)
    stack = Stack(tmp_path / "demo", free_port_and_next(), assets.path("tenant_templates"))
    at_noon(stack)
    ended = subprocess.run(
        [sys.executable, "-m", "tenantry", "demo", "--once", "--json", "--clock-speed", "5",
         "--data", str(stack.data), "--port", str(stack.port)],
        check=False, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout.splitlines()[-1])
    assert result.keys() == {
        "customer_id", "namespace", "instance_url", "commit", "repository", "status", "seconds",
        "license", "walk",
    }  # fmt: skip
    assert (result["status"], result["license"]["valid"]) == ("ready", True)
    assert result["seconds"].keys() == {"signup", "published", "synced", "ready"}
    check_steps(result["walk"]["steps"])
    license_ = result["walk"]["license"]
    assert [license_[name] for name in ("valid", "kind", "plan")] == [True, "paid", "professional"]
    assert states_in_git(stack, result["customer_id"]) == STATES
    check_all(stack)
    assert processes_with(str(tmp_path)) == []


def at_noon(stack: Stack) -> None:
    """The demo begins at noon, whenever it is tried: no day ends between two steps of one."""
    now = datetime.now(UTC)
    stack.data.mkdir()
    ShiftedClock(stack.clock).advance(timedelta(days=1, hours=12 - now.hour))


def check_steps(steps: list[dict[str, Any]]) -> None:
    """Everything came once, in its order, on its day."""
    found = [
        (*(each[name] for name in ("stage", "status", "plan", "answers")),
         len(each["mails"]), len(each["commits"]))
        for each in steps
    ]  # fmt: skip
    assert found == WALK
    subjects = [mail["subject"] for step in steps for mail in step["mails"]]
    assert all(part.lower() in said.lower() for part, said in zip(MAILS, subjects, strict=True))
    assert max(Counter(subjects).values()) == 1
    days = [datetime.fromisoformat(each["at"]).date() for each in steps]
    assert [(day - days[0]).days for day in days] == DAYS


def states_in_git(stack: Stack, customer_id: str) -> list[tuple[str, str]]:
    """Plan and state at each commit of the customer's folder, oldest first."""
    file = f"{naming.folder_of(customer_id)}/tenant.json"
    shown = [
        json.loads(git(stack, "show", f"{commit}:{file}"))
        for commit in git(stack, "log", "--reverse", "--format=%H", "main", "--", file).split()
    ]
    return [(each["plan"], each["state"]) for each in shown]


def git(stack: Stack, *arguments: str) -> str:
    asked = ["git", f"--git-dir={stack.repository}", *arguments]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout


def check_all(stack: Stack) -> None:
    """The invariants, through a service that has the demo's own time."""
    service = wiring.build(settings.load(**settings_of(stack)))
    secret = stack.billing_secret.read_text()
    check_invariants(service, canaries=[secret], logs=stack.logs)
    service.database.close()


# --- What time waits for ---


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """With one customer."""
    folder = tmp_path_factory.mktemp("town")
    world = make_world(folder, f"sqlite:///{folder}/tenantry.db")
    world.sign_up()
    with world.service.database.write() as session:
        session.add(Watch(cell=world.cell.name))
    yield world
    world.service.database.close()


@pytest.fixture
def world(town: World) -> World:
    """The same, with nothing on its way."""
    now = town.clock()
    calm = {"generation": 1, "published_generation": 1, "status": Status.READY}
    set_all(town, Tenant, **calm, unsettled_since=None, unknown_since=None, set_aside=None)
    set_all(town, Watch, failing_since=None)
    set_all(town, Deployment, published_at=now, ready_at=now)
    set_all(town, Customer, email_refused_at=None)
    set_all(town, Outbox, sent_at=now, withheld_at=None, refused_at=None)
    set_all(town, Subscription, look_at=now + timedelta(days=1))
    return town


def set_all(world: World, table: type[Base], **values: object) -> None:
    with world.service.database.write() as session:
        session.execute(update(table).values(**values))


def flight(
    world: World, stack: Stack, *, speed: float = 5, check: Callable[[], None] = lambda: None
) -> Flight:
    return Flight(stack, world.service, speed=speed, check=check)


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path, 4000, tmp_path)


def ahead(stack: Stack) -> timedelta:
    return ShiftedClock(stack.clock)() - datetime.now(UTC)


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (Subscription, {"look_at": datetime(2026, 1, 1, tzinfo=UTC)}),
        (Outbox, {"sent_at": None}),
        (Tenant, {"generation": 7}),
        (Tenant, {"status": Status.PROVISIONING}),
        (Tenant, {"unsettled_since": datetime(2026, 1, 1, tzinfo=UTC)}),
        (Tenant, {"unknown_since": datetime(2026, 1, 1, tzinfo=UTC)}),
        (Watch, {"failing_since": datetime(2026, 1, 1, tzinfo=UTC)}),
        (Deployment, {"ready_at": None}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value.__name__,
)
def test_time_waits_for_what_is_on_its_way(
    world: World, stack: Stack, table: type[Base], values: dict[str, Any]
) -> None:
    assert is_quiet(world.service)
    set_all(world, table, **values)
    assert not is_quiet(world.service)
    assert not flight(world, stack).fly(lambda: True)
    assert not stack.clock.exists()


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (Outbox, {"sent_at": None, "withheld_at": datetime(2026, 1, 1, tzinfo=UTC)}),
        (Outbox, {"sent_at": None, "refused_at": datetime(2026, 1, 1, tzinfo=UTC)}),
        (Tenant, {"generation": 7, "set_aside": "cannot be published"}),
        (Tenant, {"status": Status.FAILED}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value.__name__,
)
def test_time_waits_for_nothing_that_time_does_not_bring(
    world: World, table: type[Base], values: dict[str, Any]
) -> None:
    set_all(world, table, **values)
    assert is_quiet(world.service)


def test_time_waits_for_no_mail_of_an_address_that_takes_none(world: World) -> None:
    set_all(world, Outbox, sent_at=None)
    assert not is_quiet(world.service)
    set_all(world, Customer, email_refused_at=world.clock())
    assert is_quiet(world.service)


def test_time_flies_in_small_steps_until_it_has_come(world: World, stack: Stack) -> None:
    looks = iter([False, False, True])
    flying = flight(world, stack, speed=1e6)
    flying.until(lambda: next(looks), "the third look")
    assert abs(ahead(stack) - 2 * LONGEST_STEP) < timedelta(hours=1)


def test_time_jumps_while_nobody_writes(
    world: World, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes between the first look and the jump, such as a signup, has time wait."""
    looks = iter([True, False])

    def look(service: Service) -> bool:
        is_first = next(looks)
        assert may_write(world) is is_first
        return is_first

    monkeypatch.setattr(clock, "is_quiet", look)
    assert not flight(world, stack, speed=1e6).fly()
    assert not stack.clock.exists()
    assert next(looks, None) is None


def may_write(world: World) -> bool:
    """Whether another connection has the database's write lock at once."""
    other = sqlite3.connect(world.folder / "tenantry.db", timeout=0, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return False
    finally:
        other.close()
    return True


def test_customer_begins_when_it_is_stored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time that flies while a password is hashed is none of its deployment's."""
    came = world.clock()

    def hash_slowly(password: str) -> str:
        world.wait(minutes=60)
        return hash_password(password)

    monkeypatch.setattr(signup, "hash_password", hash_slowly)
    customer_id = world.sign_up().customer_id
    with world.service.database.read() as session:
        customer = session.get_one(Customer, customer_id)
        wanted = select(Deployment.wanted_at).where(Deployment.customer_id == customer_id)
        assert session.scalar(wanted) == customer.created_at > came + timedelta(hours=1)


@pytest.mark.parametrize("speed", [0.3, FASTEST])
def test_instances_are_seen_while_time_flies(world: World, tmp_path: Path, speed: float) -> None:
    """What was seen ten real seconds ago is not old; with the usual silence it is."""
    flying = Stack(tmp_path, 4000, tmp_path, days_a_second=speed)
    cell = replace(world.service.new_tenants_cell, argocd=mock.sentinel.argocd)
    service, now = replace(world.service, cells={cell.name: cell}), world.clock()
    patience = wiring._patience(settings.load(**settings_of(flying)))
    with service.database.write() as session:
        seen_at = now - timedelta(seconds=10) - timedelta(days=speed) * 10
        session.merge(Watch(cell=cell.name, seen_at=seen_at))
    with service.database.read() as session:
        assert blind_cells(service, session, now)
        assert not blind_cells(replace(service, patience=patience), session, now)


@pytest.mark.parametrize(("days", "seconds"), [(None, -100), (-5, -100), (10, -96)])
def test_what_does_not_come_in_its_time_is_named(
    world: World,
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
    days: int | None,
    seconds: int,
) -> None:
    """Days take their time, twice; the rest of it is so short here that it is over at once."""
    monkeypatch.setattr(clock, "LONGEST_WAIT", -100.0)
    due_at = datetime.now(UTC) + timedelta(days=days) if days is not None else None
    with pytest.raises(TenantryError, match=rf"^the mail did not come within {seconds} s$"):
        flight(world, stack, speed=5).until(lambda: False, "the mail", due_at=due_at)


def test_flight_ends_with_a_part_of_the_demo(world: World, stack: Stack) -> None:
    def end() -> None:
        raise ProgramError("the worker has ended")

    with pytest.raises(ProgramError, match="worker"):
        flight(world, stack, check=end).until(lambda: True, "nothing")


@pytest.mark.parametrize(("trial", "paid"), [("a", "b"), ("b", "c"), ("c", "c")])
def test_next_plan_is_paid_for_where_there_is_one(world: World, trial: str, paid: str) -> None:
    product = world.service.product
    plans = dict.fromkeys("abc", next(iter(product.plans.values())))
    rules = product.trial.model_copy(update={"plan": trial})
    assert plan_to_pay(product.model_copy(update={"plans": plans, "trial": rules})) == paid

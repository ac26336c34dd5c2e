"""`tenantry status`: what an operator sees of the fleet, and of one tenant."""

from __future__ import annotations

import json
import signal
import subprocess

from sqlalchemy import update

from tenantry.adapters.database.tables import Deployment, Tenant
from tests.migrated import on_sqlite
from tests.system.console import Operator
from tests.system.world import World

pytestmark = on_sqlite


def test_the_fleet_shows_what_needs_a_look(world: World) -> None:
    moving, done = (world.sign_up().customer_id for _ in range(2))
    with world.service.database.write() as session:
        mine = Tenant.customer_id == moving
        session.execute(update(Tenant).where(mine).values(resource="Deployment/api", flaps=2))
        arrived = Deployment.customer_id == done
        session.execute(update(Deployment).where(arrived).values(outcome="success"))
    operator = Operator(world)
    code, out, err = operator.run("status", "--json")
    fleet = json.loads(out)
    assert (code, err) == (0, "")
    assert fleet["statuses"]["pending"] == 2
    seen = {each["customer_id"]: each for each in fleet["tenants"]}
    assert seen[moving]["late"]  # signed up long ago by the operator's clock
    assert not seen[done]["late"]
    _, out, _ = operator.run("status")
    assert out.startswith("2 pending\n")
    line = next(line for line in out.splitlines() if moving in line)
    assert "LATE  2 flaps  pending: Deployment/api" in line


def test_one_tenant_is_shown_with_its_events_and_a_stranger_is_none(world: World) -> None:
    customer_id = world.sign_up().customer_id
    operator = Operator(world)
    code, out, _ = operator.run("status", customer_id, "--json")
    assert (code, [each["status"] for each in json.loads(out)["events"]]) == (0, ["pending"])
    code, _, err = operator.run("status", "cust-bcdfghjkmn")
    assert (code, "there is no customer" in err) == (1, True)


def test_watching_tells_lines_where_no_terminal_is_and_ends_on_ctrl_c(world: World) -> None:
    customer_id = world.sign_up().customer_id
    child = Operator(world).start("status", customer_id, "--watch", stderr=subprocess.DEVNULL)
    assert child.stdout is not None
    assert customer_id in child.stdout.readline()
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=30)
    assert child.returncode == 0
    assert "\x1b" not in out

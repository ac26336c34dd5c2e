"""`tenantry customers`: what an operator is told, and the exit codes."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace

import pytest
from click.testing import CliRunner

from tenantry.cli import customers as command
from tests.migrated import on_sqlite
from tests.system.world import World


@on_sqlite
def test_customers_who_wait_are_listed_approved_and_declined(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "opened", lambda: nullcontext(world.service))

    def run(*arguments: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(command.customers, arguments)
        return done.exit_code, done.stdout, done.stderr

    assert run("list") == (0, "", "no customers to list\n")
    assert run("list", "--json") == (0, "", "")
    world.sign_up()
    world.service = replace(world.service, approve_signups=True)
    wanted, unwanted = world.sign_up(), world.sign_up()
    of_programs = world.sign_up().customer_id
    code, out, _ = run("decline", of_programs, "--json")
    told = {"customer_id": of_programs, "declined": True}
    assert (code, json.loads(out.splitlines()[-1])) == (0, told)
    code, out, _ = run("approve", of_programs, "--json")
    told = {"customer_id": of_programs, "approved": True, "set_up": True}
    assert (code, json.loads(out.splitlines()[-1])) == (0, told)
    code, out, _ = run("list", "--waiting")
    lines = out.splitlines()
    assert (code, [line.split()[0] for line in lines]) == (
        0, [wanted.customer_id, unwanted.customer_id],
    )  # fmt: skip
    assert wanted.email in lines[0]
    assert lines[0].endswith("awaiting_approval")
    code, out, err = run("approve", "cust-nobody", wanted.customer_id)
    assert (code, err) == (1, "there is no customer cust-nobody (see `tenantry tenants list`)\n")
    assert f"{wanted.customer_id}: approved, is set up now\n" in out
    code, out, _ = run("decline", unwanted.customer_id)
    assert (code, out.splitlines()[-1]) == (0, f"{unwanted.customer_id}: declined")
    code, out, _ = run("list", "--json")
    listed = {each["customer_id"]: each for each in map(json.loads, out.splitlines())}
    assert (code, len(listed)) == (0, 4)
    assert listed[wanted.customer_id]["approved_at"]
    assert listed[unwanted.customer_id]["waits_for"] is None

"""Another vendor's product, from a signup over HTTP to a running instance, and through its states:
a folder, and no line of code.
"""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import pytest

from tenantry import assets, settings, wiring
from tenantry.adapters.database.tables import Tenant
from tenantry.cli.demo.stack import settings_of
from tenantry.core.model import State
from tenantry.flows.generation import raise_generation
from tests.system.processes import wait_until
from tests.system.test_whole_way import Demo, demo

INKWELL = assets.path("tenant_templates").parent / "examples" / "inkwell"
OK, GONE = 200, 404


@pytest.mark.timeout(240)
def test_another_product_needs_a_folder_and_no_code(tmp_path: Path) -> None:
    with demo(tmp_path, INKWELL) as running:
        signed_up = running.sign_up(1)
        customer_id = signed_up["customer"]["customer_id"]
        assert signed_up["subscription"]["plan"] == "team"
        running.wait_until_ready(signed_up)
        check_what_is_sealed(running, signed_up, tmp_path)
        assert running.ask(customer_id).status_code == OK

        want(running, customer_id, State.SUSPENDED)
        wait_until(partial(answers, running, customer_id, GONE), "it is gone", within=60)
        want(running, customer_id, State.ACTIVE)
        wait_until(partial(answers, running, customer_id, OK), "it is back", within=60)
        sample = ["git", f"--git-dir={running.stack.repository}", "grep", "-i", "iotistic", "main"]
        assert subprocess.run(sample, check=False).returncode == 1  # finds nothing
        running.check(signed_up["license"]["jwt"])


def check_what_is_sealed(running: Demo, signed_up: dict[str, Any], folder: Path) -> None:
    """With public tools alone: what the tenant's Secrets hold once they are opened."""
    opened = running.unsealed(folder / "tree")
    assert set(opened) == {"inkwell-keys", "inkwell-registry"}
    keys, registry = opened["inkwell-keys"], opened["inkwell-registry"]
    assert len(keys["STORE_PASSWORD"]) == 40
    assert set(keys["STORE_PASSWORD"]) <= set("0123456789abcdef")
    claims = jwt.decode(
        keys["LICENSE"], keys["LICENSE_KEYS"], algorithms=["EdDSA"], audience="inkwell"
    )
    assert (claims["iss"], claims["edition"], claims["seats"]) == ("inkwell-sales", "team", 25)
    assert keys["TENANT"] == claims["sub"] == signed_up["customer"]["customer_id"]
    assert registry[".dockerconfigjson"] == running.stack.registry_credentials.read_text()


def want(running: Demo, customer_id: str, state: State) -> None:
    """Have the tenant in another state, as a later change will."""
    service = wiring.build(settings.load(**settings_of(running.stack)))
    with service.database.write() as session:
        tenant = session.get_one(Tenant, customer_id)
        tenant.approved = {**tenant.approved, "state": state.value}
        raise_generation(session, tenant, action="tenant.state", actor="t", now=service.now())
    service.database.close()


def answers(running: Demo, customer_id: str, status: int) -> bool:
    return running.ask(customer_id).status_code == status

"""Another vendor's product, from a signup over HTTP to a running instance, and through its states:
a folder, and no line of code.
"""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
import yaml

from tenantry import assets, settings, wiring
from tenantry.adapters.database.tables import Tenant
from tenantry.cli.demo_stack import settings_of
from tenantry.core.model import State
from tenantry.flows.change import raise_generation
from tests.programs import require
from tests.system.test_whole_way import Demo, demo

INKWELL = assets.path("tenant_templates").parent / "examples" / "inkwell"


@pytest.mark.timeout(240)
def test_another_product_needs_a_folder_and_no_code(tmp_path: Path) -> None:
    with demo(tmp_path, INKWELL) as running:
        signed_up = running.sign_up(1)
        customer_id = signed_up["customer"]["customer_id"]
        assert signed_up["subscription"]["plan"] == "team"
        running.wait_until_ready(signed_up)
        check_what_is_sealed(running, signed_up, tmp_path)
        assert ask(running, customer_id) == requests.codes.ok

        want(running, customer_id, State.SUSPENDED)
        wait_for(lambda: ask(running, customer_id) == requests.codes.not_found)
        want(running, customer_id, State.ACTIVE)
        wait_for(lambda: ask(running, customer_id) == requests.codes.ok)
        sample = ["git", f"--git-dir={running.stack.repository}", "grep", "-i", "iotistic", "main"]
        assert subprocess.run(sample, check=False).returncode == 1  # finds nothing
        running.check(signed_up["license"]["jwt"])


def check_what_is_sealed(running: Demo, signed_up: dict[str, Any], folder: Path) -> None:
    """With public tools alone: what the tenant's Secrets hold once they are opened."""
    subprocess.run(["git", "clone", "-q", running.stack.repository, folder / "tree"], check=True)
    (place,) = (folder / "tree").glob("tenants/*/customer-*")
    built = subprocess.run(
        [require("kustomize"), "build", place], check=True, capture_output=True
    ).stdout
    sealed = {
        body["metadata"]["name"]: body
        for body in yaml.safe_load_all(built)
        if body["kind"] == "SealedSecret"
    }
    assert set(sealed) == {"inkwell-keys", "inkwell-registry"}
    keys, registry = (unseal(running, sealed[name]) for name in sorted(sealed))
    assert len(keys["STORE_PASSWORD"]) == 40
    assert set(keys["STORE_PASSWORD"]) <= set("0123456789abcdef")
    claims = jwt.decode(
        keys["LICENSE"], keys["LICENSE_KEYS"], algorithms=["EdDSA"], audience="inkwell"
    )
    assert (claims["iss"], claims["edition"], claims["seats"]) == ("inkwell-sales", "team", 25)
    assert keys["TENANT"] == claims["sub"] == signed_up["customer"]["customer_id"]
    assert registry[".dockerconfigjson"] == running.stack.registry_credentials.read_text()


def unseal(running: Demo, sealed: dict[str, Any]) -> dict[str, str]:
    opened = subprocess.run(
        [require("kubeseal"), "--recovery-unseal", "--recovery-private-key",
         running.stack.keys / "sealing.key"],
        input=json.dumps(sealed).encode(), check=True, capture_output=True,
    ).stdout  # fmt: skip
    data: dict[str, str] = json.loads(opened)["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def want(running: Demo, customer_id: str, state: State) -> None:
    """Have the tenant in another state, as a later change will."""
    service = wiring.build(settings.load(**settings_of(running.stack)))
    with service.database.write() as session:
        tenant = session.get_one(Tenant, customer_id)
        tenant.approved = {**tenant.approved, "state": state.value}
        raise_generation(session, tenant, action="tenant.state", actor="t", now=service.now())
    service.database.close()


def ask(running: Demo, customer_id: str) -> int:
    """What a customer's browser is answered."""
    port = running.stack.port + 1
    host = {"Host": f"{customer_id}.localhost:{port}"}
    return requests.get(f"http://127.0.0.1:{port}/", headers=host, timeout=30).status_code


def wait_for(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.2)

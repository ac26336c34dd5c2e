"""The product as it ships runs in the stand-in: its platform, overlay, project and set."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest

from tenantry.adapters.seal import PlainSecret, parse_certificate
from tenantry.core import naming
from tenantry.core.model import State, TenantSpec
from tenantry.core.overlay import render
from tests import overlays
from tests.contract import devcluster_kit
from tests.contract.devcluster_kit import Keys, Repository, World, eventually, is_ready, make_world

keys = devcluster_kit.keys
KEY = "bcdfghjkmn"
NAME, CUSTOMER = naming.tenant_name(KEY), naming.customer_id(KEY)
HOST = f"{CUSTOMER}.localhost"


class Shipped:
    """The stand-in beside a repository that holds what ships."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        root = overlays.write_repository(folder / "shipped")
        files = {
            str(path.relative_to(root)): path.read_text()
            for path in root.rglob("*")
            if path.is_file()
        }
        # one repository without a publisher has no branches of shards
        sets = files["argocd/applicationsets.yaml"]
        files["argocd/applicationsets.yaml"] = sets.replace("heads/shard/00", "heads/main")
        world.repository = Repository(folder)
        world.repository.push(files)

    def publish(self, *, secret_version: str = "1", **changes: Any) -> str:
        """Push the tenant's folder as the service renders it; the commit."""
        tenant = overlays.spec(KEY, host=HOST, **changes)
        tenant = tenant.model_copy(
            update={"secret_versions": dict.fromkeys(tenant.secret_versions, secret_version)}
        )
        files = render(
            tenant,
            self._sealed(tenant),
            product=overlays.product(),
            templates=overlays.vendor().templates,
            cell=overlays.CELL,
            has_local=False,
        )
        folder = naming.folder(NAME)
        commit = self.world.repository.push(
            {f"{folder}/{name}": content.decode() for name, content in files.items()}
        )
        self.world.nudge()
        self.world.get(f"/api/v1/applications/{NAME}?refresh=normal")
        return commit

    def application(self) -> dict[str, Any]:
        return self.world.application(KEY)

    def await_ready(self, commit: str) -> dict[str, Any]:
        def look() -> dict[str, Any]:
            one = self.application()
            return one if one and is_ready(one, commit) else {}

        return eventually(look, lambda: devcluster_kit.summary(self.application()))

    def _sealed(self, tenant: TenantSpec) -> dict[str, str]:
        secret = overlays.product().secret
        by_source = {
            "license": _license(self.world.keys, tenant),
            "public-keys": self.world.keys.public_pem,
            "revocations": "none",
            "customer-id": CUSTOMER,
            "random": "random",
        }
        values = {name: by_source[key.source] for name, key in secret.keys.items()}
        plain = PlainSecret(NAME, secret.name, values)
        certificate = parse_certificate(self.world.keys.certificate)
        now = datetime.now(UTC)
        return self.world.sealer.seal([plain], certificate, now=now)[0]


def _license(keys: Keys, tenant: TenantSpec) -> str:
    now = int(time.time())
    claims = {
        "iss": "tenantry", "sub": CUSTOMER, "aud": overlays.product().name, "iat": now,
        "nbf": now - 60, "exp": now + 3600, "jti": tenant.license_id, "plan": tenant.plan,
        "kind": "trial", "limits": overlays.product().plans[tenant.plan].limits,
    }  # fmt: skip
    return jwt.encode(claims, keys.signing, algorithm="EdDSA", headers={"typ": "license+jwt"})


@pytest.fixture
def shipped(tmp_path: Path, keys: Keys) -> Any:
    world = make_world(tmp_path / "first", keys)
    made = Shipped(world, tmp_path)
    world.start(audience=overlays.product().name)
    yield made
    world.stop()


@pytest.mark.parametrize("plan", sorted(overlays.product().plans))
def test_shipped_product_becomes_ready_on_each_plan(shipped: Shipped, plan: str) -> None:
    one = shipped.await_ready(shipped.publish(plan=plan))
    assert one["metadata"]["labels"]["tenantry.dev/plan"] == plan
    answer = shipped.world.visit(
        HOST, overlays.product().ready.paths[-1], Accept="application/json"
    )
    assert answer.status_code == 200, answer.text
    facts = answer.json()
    assert (facts["customer_id"], facts["plan"]) == (CUSTOMER, plan)
    assert facts["license"]["valid"] is True
    assert facts["limits"] == overlays.product().plans[plan].limits
    page = shipped.world.get("/").text
    assert "Test Corp" in page
    assert "8: admin, api, grafana, influxdb, mosquitto, nginx, node-red, postgres</dd>" in page


def test_renewal_restarts_the_pods_within_the_quota(shipped: Shipped) -> None:
    shipped.await_ready(shipped.publish())
    commit = shipped.publish(license_id="renewed", secret_version="2")
    shipped.await_ready(commit)
    answer = shipped.world.visit(HOST, Accept="application/json")
    assert answer.json()["license"]["id"] == "renewed"


def test_suspended_tenant_is_healthy_and_answers_nothing(shipped: Shipped) -> None:
    shipped.await_ready(shipped.publish())
    shipped.await_ready(shipped.publish(state=State.SUSPENDED))
    assert shipped.world.visit(HOST).status_code == 404
    assert "<dt>pods</dt><dd>none</dd>" in shipped.world.get("/").text
    shipped.await_ready(shipped.publish())
    assert shipped.world.visit(HOST).status_code == 200


def test_data_outlives_the_application_until_the_state_is_deleting(shipped: Shipped) -> None:
    stand_in = shipped.world.stand_in
    assert stand_in is not None
    shipped.await_ready(shipped.publish())
    _delete(shipped)
    left = {key.kind for key in stand_in.cluster.namespaces[NAME].objects}
    assert left == {"Namespace", "PersistentVolumeClaim"}


def test_state_deleting_lifts_the_protection(shipped: Shipped) -> None:
    stand_in = shipped.world.stand_in
    assert stand_in is not None
    shipped.await_ready(shipped.publish())
    shipped.await_ready(shipped.publish(state=State.DELETING))
    _delete(shipped)
    assert NAME not in stand_in.cluster.namespaces


def _delete(shipped: Shipped) -> None:
    world = shipped.world
    world.repository.push({}, remove=naming.folder(NAME))
    world.nudge()
    answer = world.request(
        "DELETE",
        f"/api/v1/applications/{NAME}?project=tenants",
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.json()) == (200, json.loads("{}"))
    eventually(lambda: not shipped.application())

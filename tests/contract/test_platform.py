"""The platform that ships: every plan in every state builds and would run (R22-R24, R27)."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tenantry.adapters.kustomize import Kustomize
from tenantry.adapters.schemas import load_schemas
from tenantry.core import naming
from tenantry.core.checks import Expected, check_objects
from tenantry.core.document import load_all
from tenantry.core.model import State
from tenantry.core.printer import dump
from tests.overlays import golden, product, spec, write_repository
from tests.programs import require

PLANS = ["starter", "professional", "enterprise"]
Objects = dict[tuple[str, str], dict[str, Any]]  # by kind and name


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Any:
    kustomize = Kustomize(require("kustomize"))
    built: dict[tuple[str, State], list[dict[str, Any]]] = {}

    def run(plan: str, state: State) -> list[dict[str, Any]]:
        if (plan, state) not in built:
            tenant = spec(plan=plan, state=state)
            root = write_repository(tmp_path_factory.mktemp("repository"), tenant)
            built[plan, state] = kustomize.build(root / naming.folder(tenant.name))
        return built[plan, state]

    return run


def _by_name(objects: list[dict[str, Any]]) -> Objects:
    return {(body["kind"], body["metadata"]["name"]): body for body in objects}


@pytest.mark.parametrize(("plan", "state"), list(itertools.product(PLANS, State)))
def test_every_plan_in_every_state_is_good(build: Any, plan: str, state: State) -> None:
    tenant = spec(plan=plan, state=state)
    objects = build(plan, state)
    expected = Expected.of(tenant, product())
    assert check_objects(objects, expected=expected, product=product()) == []
    schemas = load_schemas()
    assert schemas
    assert [schemas.find_problem(body) for body in objects] == [None] * len(objects)


def test_schemas_do_find_a_problem(build: Any) -> None:
    schemas = load_schemas()
    deployment = _by_name(build("starter", State.ACTIVE))["Deployment", "api"]
    spec_with_typo = {**deployment, "spec": {**deployment["spec"], "replica": 1}}
    assert schemas
    assert "replica" in (schemas.find_problem(spec_with_typo) or "")
    assert schemas.version == kubernetes_validate.latest_version()


@pytest.mark.parametrize(
    ("plan", "api", "postgres"),
    [
        ("starter", ("250m", "256Mi"), ("500m", "512Mi")),
        ("professional", ("500m", "512Mi"), ("1000m", "1Gi")),
        ("enterprise", ("2000m", "2Gi"), ("4000m", "4Gi")),
    ],
)
def test_requests_are_those_of_the_specification(
    build: Any, plan: str, api: tuple[str, str], postgres: tuple[str, str]
) -> None:
    objects = _by_name(build(plan, State.ACTIVE))
    for name, wanted in (("api", api), ("postgres", postgres)):
        (container,) = objects["Deployment", name]["spec"]["template"]["spec"]["containers"]
        requests = container["resources"]["requests"]
        assert (requests["cpu"], requests["memory"]) == wanted


def test_volume_has_the_size_that_the_specification_of_the_tenant_says(
    tmp_path: Path,
) -> None:
    tenant = spec(volumes={"postgres-data": "7Gi"})
    root = write_repository(tmp_path, tenant)
    objects = Kustomize(require("kustomize")).build(root / naming.folder(tenant.name))
    claim = _by_name(objects)["PersistentVolumeClaim", "postgres-data"]
    assert claim["spec"]["resources"]["requests"] == {"storage": "7Gi"}


def test_license_and_secrets_restart_what_reads_them_only(build: Any) -> None:
    objects = _by_name(build("starter", State.ACTIVE))

    def versions(name: str) -> Any:
        metadata = objects["Deployment", name]["spec"]["template"]["metadata"]
        return metadata.get("annotations")

    assert versions("api") == {
        "tenantry.dev/license-version": spec().license_id,
        "tenantry.dev/secrets-version": product().secret.version(spec().secret_versions),
    }
    assert versions("postgres") is None


def test_secret_comes_in_an_earlier_wave_than_the_pods(build: Any) -> None:
    waves = {
        key: body["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", "0")
        for key, body in _by_name(build("starter", State.ACTIVE)).items()
    }
    early = {kind for (kind, _), wave in waves.items() if wave == "-1"}
    assert early == {"Namespace", "SealedSecret"}
    assert set(waves.values()) == {"-1", "0"}


def test_suspension_keeps_data_and_secrets_and_runs_nothing(build: Any) -> None:
    active, suspended = (_by_name(build("starter", s)) for s in (State.ACTIVE, State.SUSPENDED))
    assert set(active) - set(suspended) == {("Ingress", "iotistic-ingress")}
    replicas = [b["spec"]["replicas"] for (kind, _), b in suspended.items() if kind == "Deployment"]
    assert replicas == [0, 0]
    for kind in ("PersistentVolumeClaim", "SealedSecret"):
        assert [b for (k, _), b in active.items() if k == kind] == [
            b for (k, _), b in suspended.items() if k == kind
        ]


@pytest.mark.parametrize("state", State)
def test_data_is_protected_in_every_state_but_deleting(build: Any, state: State) -> None:
    objects = _by_name(build("starter", state))
    found = [
        body["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-options")
        for (kind, _), body in objects.items()
        if kind in ("Namespace", "PersistentVolumeClaim")
    ]
    protected = None if state is State.DELETING else "Prune=false,Delete=false"
    assert found == [protected, protected]


def test_state_is_a_label_of_the_namespace(build: Any) -> None:
    for state in State:
        labels = _by_name(build("starter", state))["Namespace", spec().name]["metadata"]["labels"]
        assert labels["tenantry.dev/state"] == state.value


def test_images_are_pinned_by_version(build: Any) -> None:
    for body in build("starter", State.ACTIVE):
        if body["kind"] == "Deployment":
            for container in body["spec"]["template"]["spec"]["containers"]:
                _, _, tag = container["image"].partition(":")
                assert any(char.isdigit() for char in tag)
                assert "latest" not in tag


def test_built_objects_are_as_stored(build: Any) -> None:
    """Unit tests of the checks start from the stored objects."""
    objects = build("starter", State.ACTIVE)
    content = b"---\n".join(dump(body) for body in objects)
    assert objects == load_all(golden("built.yaml", content), "built.yaml")

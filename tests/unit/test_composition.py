"""A platform as a whole: what its objects amount to."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tenantry.core.objects.composition import compose

PROTECTED = {"argocd.argoproj.io/sync-options": "Prune=false,Delete=false"}


def container(image: str, cpu: str, memory: str) -> dict[str, Any]:
    return {"image": image, "resources": {"requests": {"cpu": cpu, "memory": memory}}}


def deployment(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    pod = {"containers": list(containers)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"template": {"spec": pod}, **spec},
    }


def cron_job(name: str, *containers: dict[str, Any]) -> dict[str, Any]:
    template = {"spec": {"containers": list(containers)}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name},
        "spec": {"jobTemplate": {"spec": {"template": template}}},
    }


def claim(name: str, size: str, **annotations: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"resources": {"requests": {"storage": size}}},
    }


def test_pods_count_as_often_as_they_run() -> None:
    web = deployment("web", container("a:1", "250m", "1Gi"), container("b:1", "1", "1Gi"))
    many = deployment("many", container("c:1", "100m", "64Mi"), replicas=3)
    none = deployment("none", container("c:1", "8", "64Gi"), replicas=0)
    found = compose([web, many, none, cron_job("nightly", container("d:1", "1", "1Gi"))])
    assert [(each.name, each.pods) for each in found.workloads] == [
        ("many", 3), ("nightly", 0), ("none", 0), ("web", 1),
    ]  # fmt: skip
    assert found.workloads[-1].images == ("a:1", "b:1")
    assert (found.pods, found.cpu) == (4, Decimal("1.55"))
    assert found.memory == 2 * 2**30 + 3 * 64 * 2**20


def test_routes_are_paths_and_where_they_lead() -> None:
    paths = [
        {"path": "/api", "backend": {"service": {"name": "api", "port": {"number": 3001}}}},
        {"path": "/", "backend": {"service": {"name": "web", "port": {"name": "http"}}}},
    ]
    spec = {"rules": [{"host": "h", "http": {"paths": paths}}]}
    ingress = {"kind": "Ingress", "metadata": {"name": "i"}, "spec": spec}
    assert compose([ingress]).routes == {"/api": "api:3001", "/": "web:http"}


def test_data_is_protected_only_where_every_claim_is() -> None:
    kept, free = claim("kept", "5Gi", **PROTECTED), claim("free", "1Gi")
    assert compose([kept]).volumes == {"kept": "5Gi"}
    assert compose([kept]).is_protected
    assert not compose([kept, free]).is_protected

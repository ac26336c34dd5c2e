"""Deployments of the sample platform, as its manifests say: what tests start is taken from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

BASE = Path(__file__).resolve().parents[3] / "tenant_templates/platform/v1/base"
CONFIG = BASE / "config"


def pod(component: str) -> dict[str, Any]:
    """The pod's specification."""
    documents = yaml.safe_load_all((BASE / f"{component}.yaml").read_text("utf-8"))
    deployment = next(one for one in documents if one["kind"] == "Deployment")
    return deployment["spec"]["template"]["spec"]  # type: ignore[no-any-return]


def container(component: str) -> dict[str, Any]:
    return pod(component)["containers"][0]  # type: ignore[no-any-return]


def init_container(component: str) -> dict[str, Any]:
    return pod(component)["initContainers"][0]  # type: ignore[no-any-return]


def environment(component: str) -> set[str]:
    """Names of the variables that the container gets."""
    return {variable["name"] for variable in container(component)["env"]}


def probe_paths(component: str) -> set[str]:
    """What the kubelet asks over HTTP."""
    probes = [container(component)[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")]
    return {probe["httpGet"]["path"] for probe in probes}

"""Deployments of the sample platform, as its manifests say: what tests start is taken from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

BASE = Path(__file__).resolve().parents[3] / "tenant_templates/platform/v1/base"
CONFIG = BASE / "config"


def specification(component: str, kind: str) -> dict[str, Any]:
    documents = yaml.safe_load_all((BASE / f"{component}.yaml").read_text("utf-8"))
    return next(one["spec"] for one in documents if one["kind"] == kind)


def pod(component: str) -> dict[str, Any]:
    return specification(component, "Deployment")["template"]["spec"]  # type: ignore[no-any-return]


def service_ports(component: str) -> dict[str, int]:
    """Of the Service, by name."""
    return {port["name"]: port["port"] for port in specification(component, "Service")["ports"]}


def container(component: str) -> dict[str, Any]:
    return pod(component)["containers"][0]  # type: ignore[no-any-return]


def init_container(component: str) -> dict[str, Any]:
    return pod(component)["initContainers"][0]  # type: ignore[no-any-return]


def said(component: str, variable: str) -> str:
    """A variable's value, where the manifest says it."""
    variables = container(component)["env"]
    return str(next(one["value"] for one in variables if one["name"] == variable))


def mounted(component: str) -> dict[str, str]:
    """ConfigMaps by the path where the container finds them."""
    maps = {one["name"]: one["configMap"]["name"] for one in pod(component)["volumes"]
            if "configMap" in one}  # fmt: skip
    mounts = container(component)["volumeMounts"]
    return {one["mountPath"]: maps[one["name"]] for one in mounts if one["name"] in maps}


def environment(component: str) -> set[str]:
    """Names of the variables that the container gets."""
    return {variable["name"] for variable in container(component)["env"]}


def probe_paths(component: str) -> set[str]:
    """What the kubelet asks over HTTP."""
    probes = [container(component)[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")]
    return {probe["httpGet"]["path"] for probe in probes}

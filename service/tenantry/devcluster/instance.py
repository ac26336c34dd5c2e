"""An instance: what answers at an Ingress host, from what the pods behind it read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tenantry.devcluster import workloads
from tenantry.devcluster.cluster import Cluster
from tenantry.devcluster.kinds import Key
from tenantry.devcluster.namespace import Namespace
from tenantry.devcluster.productlicense import ProductLicense, read_license

NOTICE = (
    "This answer comes from Tenantry's development stand-in: no pod runs, and it is no part of "
    "production."
)
SILENT = "nothing answers: broken on demand"
CUSTOMER_LABEL = "customer-id"  # R20, on the Namespace

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Instance:
    """One host, and how it is."""

    host: str
    namespace: str
    customer_id: str | None
    waiting: tuple[str, ...]  # why it does not run; empty where it does
    license: ProductLicense

    @property
    def running(self) -> bool:
        return not self.waiting

    def facts(self) -> dict[str, Any]:
        """What it may say of itself; no secret value is among it."""
        claims = self.license.claims
        return {
            "stand_in": True,
            "notice": NOTICE,
            "product": claims.get("aud"),
            "customer_id": self.customer_id,
            "namespace": self.namespace,
            "plan": claims.get("plan"),
            "license": {
                "valid": self.license.valid,
                "reason": self.license.reason,
                "kind": claims.get("kind"),
                "plan": claims.get("plan"),
                "id": claims.get("jti"),
                "issuer": claims.get("iss"),
                **{
                    name: moment.isoformat() if moment else None
                    for name, moment in (
                        ("expires_at", self.license.moment("exp")),
                        ("warn_at", self.license.moment("warn_at")),
                        ("grace_until", self.license.moment("grace_until")),
                    )
                },
            },
            "limits": claims.get("limits") or {},
            "features": claims.get("features") or {},
        }


def known_hosts(cluster: Cluster, home: str) -> list[str]:
    """The hosts that a namespace's Ingresses name."""
    with cluster.lock:
        namespace = cluster.namespaces.get(home)
        return _hosts(namespace) if namespace else []


def find_instance(
    cluster: Cluster, host: str, path: str, *, audience: str | None, now: datetime
) -> Instance | None:
    """What would answer `host` and `path`; None where no Ingress knows the host."""
    with cluster.lock:
        for name, namespace in cluster.namespaces.items():
            if host in _hosts(namespace):
                found = _instance(name, namespace, host, path, audience, now)
                silent = _is_silent(cluster, namespace)
                return replace(found, waiting=(*found.waiting, SILENT)) if silent else found
    return None


def _instance(
    name: str, namespace: Namespace, host: str, path: str, audience: str | None, now: datetime
) -> Instance:
    customer_id = _customer_id(namespace)
    values = [value for pods in namespace.pods.values() for value in pods.values.values()]
    found = read_license(values, customer_id=customer_id, audience=audience, now=now)
    return Instance(host, name, customer_id, tuple(_waiting(namespace, host, path)), found)


def _is_silent(cluster: Cluster, namespace: Namespace) -> bool:
    owners = {live.owner for live in namespace.objects.values()}
    return any(fault.silent for owner in owners for fault in cluster.broken.faults(owner))


def _waiting(namespace: Namespace, host: str, path: str) -> list[str]:
    """Why nothing answers: no route, a route to nowhere, or pods that do not run."""
    backend = _backend(namespace, host, path)
    if backend is None:
        return [f"no route of the Ingress leads {path} anywhere"]
    service, port = backend
    manifest = next(
        (live.manifest for key, live in namespace.objects.items() if _is_service(key, service)),
        None,
    )
    if manifest is None:
        return [f'service "{service}" of the Ingress not found']
    everything = workloads.workloads(namespace.manifests())
    behind = [key for key, one in everything.items() if workloads.serves(manifest, port, one)]
    if not behind:
        return [f'service "{service}", port {port}, leads to no pod']
    needed = {key for key, one in everything.items() if workloads.replicas(one) > 0} | {*behind}
    return [_why(namespace, key) for key in sorted(needed) if key not in namespace.pods]


def _why(namespace: Namespace, key: Key) -> str:
    rollout = namespace.rollouts.get(key)
    reason = rollout.reason if rollout else "has no pods"
    return f"{key.kind.lower()} {key.name}: {reason}"


def _is_service(key: Key, name: str) -> bool:
    return key.kind == "Service" and key.name == name


def _backend(namespace: Namespace, host: str, path: str) -> tuple[str, object] | None:
    best: tuple[str, Manifest] | None = None
    for rule in _rules(namespace):
        for route in (
            (rule.get("http") or {}).get("paths") or () if rule.get("host") == host else ()
        ):
            prefix = str(route.get("path") or "/")
            if _leads(route, prefix, path) and (best is None or len(prefix) > len(best[0])):
                best = (prefix, (route.get("backend") or {}).get("service") or {})
    if best is None:
        return None
    port = best[1].get("port") or {}
    return str(best[1].get("name")), port.get("number", port.get("name"))


def _leads(route: Manifest, prefix: str, path: str) -> bool:
    if route.get("pathType") == "Exact":
        return path == prefix
    return path == prefix or path.startswith(prefix.rstrip("/") + "/")


def _rules(namespace: Namespace) -> list[Manifest]:
    return [
        rule
        for ingress in namespace.of_kind("Ingress")
        for rule in (ingress.get("spec") or {}).get("rules") or ()
    ]


def _hosts(namespace: Namespace) -> list[str]:
    return list(dict.fromkeys(str(rule["host"]) for rule in _rules(namespace) if "host" in rule))


def _customer_id(namespace: Namespace) -> str | None:
    for manifest in namespace.of_kind("Namespace"):
        labels: dict[str, str] = (manifest.get("metadata") or {}).get("labels") or {}
        return labels.get(CUSTOMER_LABEL)
    return None

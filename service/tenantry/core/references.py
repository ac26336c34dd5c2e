"""What objects of one overlay ask of each other: Secrets, claims, Services, ports, hosts.

Kubernetes takes objects whose references lead nowhere; the tenant then hangs without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tenantry.core.objects import (
    WORKLOADS,
    Item,
    claims_used,
    config_maps_read,
    find,
    has_port,
    items,
    secret_keys_read,
    texts,
    tree,
)
from tenantry.core.problem import Problem

_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def check_references(objects: Sequence[Item], *, host: str, customer_id: str) -> list[Problem]:
    """References that lead nowhere, and an Ingress that answers for another host."""
    return [
        *_check_secrets(objects),
        *_check_names(objects),
        *_check_services(objects),
        *_check_probes(objects),
        *_check_ingresses(objects, host, customer_id),
    ]


def _check_secrets(objects: Sequence[Item]) -> Iterator[Problem]:
    known = {item.name: tree(item.spec, "encryptedData") for item in find(objects, "SealedSecret")}
    for item in objects:
        for name, key in secret_keys_read(item):
            if name not in known:
                yield Problem(item.where, f"reads the Secret {name!r}, which nothing makes")
            elif key is not None and key not in known[name]:
                yield Problem(item.where, f"reads {key!r}, which the Secret {name!r} does not have")


def _check_names(objects: Sequence[Item]) -> Iterator[Problem]:
    names = {(item.kind, item.name) for item in objects}
    for item in objects:
        for name in config_maps_read(item):
            if ("ConfigMap", name) not in names:
                yield Problem(item.where, f"reads the ConfigMap {name!r}, which is not there")
        templates = {
            tree(claim, "metadata").get("name")
            for claim in items(item.spec, "volumeClaimTemplates")
        }
        for name in claims_used(item):
            if ("PersistentVolumeClaim", name) not in names and name not in templates:
                yield Problem(item.where, f"mounts the claim {name!r}, which is not there")


def _check_services(objects: Sequence[Item]) -> Iterator[Problem]:
    for item in find(objects, "Service"):
        kind = item.spec.get("type", "ClusterIP")
        if kind != "ClusterIP" or item.spec.get("externalIPs"):
            yield Problem(
                item.where, f"is of type {kind} or has external addresses", "use ClusterIP"
            )
        pods = [other for other in objects if _selects(item, other)]
        if not pods:
            yield Problem(item.where, "selects no pods", "selector and pod labels must be equal")
        for port in items(item.spec, "ports"):
            target = port.get("targetPort", port.get("port"))
            if pods and not any(has_port(pod, target) for pod in pods):
                yield Problem(item.where, f"leads to port {target!r}, which its pods do not have")


def _selects(service: Item, workload: Item) -> bool:
    wanted = tree(service.spec, "selector")
    labels = tree(workload.template, "metadata", "labels")
    return bool(wanted) and workload.kind in WORKLOADS and wanted.items() <= labels.items()


def _check_probes(objects: Sequence[Item]) -> Iterator[Problem]:
    for item in objects:
        for container in item.containers:
            for probe in _PROBES:
                for action in ("httpGet", "tcpSocket", "grpc"):
                    port = tree(container, probe, action).get("port")
                    if port is not None and not has_port(item, port):
                        yield Problem(item.where, f"{probe} asks port {port!r}, which is not there")


def _check_ingresses(objects: Sequence[Item], host: str, customer_id: str) -> Iterator[Problem]:
    for item in find(objects, "Ingress"):
        rules = items(item.spec, "rules")
        hosts = [rule.get("host") for rule in rules]
        hosts += [name for tls in items(item.spec, "tls") for name in texts(tls.get("hosts"))]
        for found in sorted({str(name) for name in hosts if name != host}):
            yield Problem(item.where, f"answers for the host {found!r}, not only for {host!r}")
        if not hosts:
            yield Problem(item.where, "names no host")
        for tls in items(item.spec, "tls"):
            if tls.get("secretName") not in (None, f"{customer_id}-tls"):
                yield Problem(item.where, f"uses the certificate {tls.get('secretName')!r}")
        for annotation in item.annotations:
            if annotation.endswith("-snippet"):
                yield Problem(item.where, f"{annotation} can reconfigure the whole controller")
        yield from _check_backends(item, objects)


def _check_backends(ingress: Item, objects: Sequence[Item]) -> Iterator[Problem]:
    backends = [tree(ingress.spec, "defaultBackend")]
    for rule in items(ingress.spec, "rules"):
        backends += [tree(path, "backend") for path in items(rule, "http", "paths")]
    for backend in filter(None, backends):
        service = tree(backend, "service")
        port = tree(service, "port")
        if not _has_service(objects, service.get("name"), port.get("number", port.get("name"))):
            yield Problem(
                ingress.where, f"leads to {service.get('name')!r}, which has no such port"
            )


def _has_service(objects: Sequence[Item], name: Any, port: Any) -> bool:
    return any(
        port in (declared.get("port"), declared.get("name"))
        for service in find(objects, "Service")
        if service.name == name
        for declared in items(service.spec, "ports")
    )

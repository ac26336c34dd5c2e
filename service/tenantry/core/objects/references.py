"""What objects of one overlay ask of each other: Secrets, files, volumes, Services, ports, hosts.

Kubernetes takes objects whose references lead nowhere; the tenant then hangs without a word.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from tenantry.core.objects.item import (
    WORKLOADS,
    Item,
    Tree,
    find,
    has_port,
    items,
    paths,
    texts,
    tree,
)
from tenantry.core.objects.needs import Reference, claims_used, config_keys_read, secret_keys_read
from tenantry.core.objects.network import Pod, lets_somebody_in, selects
from tenantry.core.problem import Problem

# annotations of an Ingress with further hosts: ingress-nginx's own, and DNS names of external-dns
_MORE_HOSTS = ("/server-alias", "external-dns.alpha.kubernetes.io/hostname")
_NAMES = ("dnsNames", "emailAddresses", "ipAddresses", "uris")  # of a Certificate
_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def check_references(objects: Sequence[Item], *, host: str, customer_id: str) -> list[Problem]:
    """References that lead nowhere, and an Ingress that answers for another host."""
    return [
        *_check_keys(objects),
        *_check_volumes(objects),
        *_check_selectors(objects),
        *_check_accounts(objects),
        *_check_scaled(objects),
        *_check_services(objects),
        *_check_probes(objects),
        *_check_ingresses(objects, host, customer_id),
        *_check_certificates(objects, host, customer_id),
    ]


def _check_keys(objects: Sequence[Item]) -> Iterator[Problem]:
    secrets: dict[str, Collection[str]] = {
        item.name: tree(item.spec, "encryptedData") for item in find(objects, "SealedSecret")
    }
    configs: dict[str, Collection[str]] = {
        item.name: {**tree(item.body, "data"), **tree(item.body, "binaryData")}
        for item in find(objects, "ConfigMap")
    }
    for item in objects:
        yield from _check_read(item, "Secret", secret_keys_read(item), secrets)
        yield from _check_read(item, "ConfigMap", config_keys_read(item), configs)


def _check_read(
    item: Item, kind: str, read: Iterator[Reference], known: Mapping[str, Collection[str]]
) -> Iterator[Problem]:
    for name, key in read:
        if name not in known:
            yield Problem(item.where, f"reads the {kind} {name!r}, which is not there")
        elif key is not None and key not in known[name]:
            yield Problem(item.where, f"reads {key!r}, which the {kind} {name!r} does not have")


def _check_volumes(objects: Sequence[Item]) -> Iterator[Problem]:
    claims = {item.name for item in find(objects, "PersistentVolumeClaim")}
    for item in objects:
        if items(item.spec, "volumeClaimTemplates"):
            message = "has volumeClaimTemplates, whose volumes cannot grow and nothing protects"
            yield Problem(item.where, message, "use a PersistentVolumeClaim of its own")
            continue
        for name in claims_used(item):
            if name not in claims:
                yield Problem(item.where, f"mounts the claim {name!r}, which is not there")
        volumes = {str(volume.get("name")) for volume in item.volumes}
        for container in item.all_containers:
            for mount in items(container, "volumeMounts"):
                if str(mount.get("name")) not in volumes:
                    yield Problem(
                        item.where, f"mounts the volume {mount.get('name')!r}, which it has not"
                    )


def _check_selectors(objects: Sequence[Item]) -> Iterator[Problem]:
    for item in objects:
        labels = tree(item.template, "metadata", "labels")
        if item.kind in ("Deployment", "StatefulSet") and not selects(
            item.spec.get("selector"), labels
        ):
            yield Problem(item.where, "selects other pods than its own", "use its pods' labels")


def _check_accounts(objects: Sequence[Item]) -> Iterator[Problem]:
    known = {"default", *(item.name for item in find(objects, "ServiceAccount"))}
    for item in objects:
        name = str(item.pod.get("serviceAccountName", "default"))
        if name not in known:
            yield Problem(item.where, f"runs as the ServiceAccount {name!r}, which is not there")


def _check_scaled(objects: Sequence[Item]) -> Iterator[Problem]:
    workloads = {(item.kind, item.name): item for item in objects if item.template}
    for item in find(objects, "HorizontalPodAutoscaler"):
        target = tree(item.spec, "scaleTargetRef")
        kind, name = str(target.get("kind")), str(target.get("name"))
        if (kind, name) not in workloads:
            yield Problem(item.where, f"scales {kind}/{name}, which is not there")
        elif "replicas" in workloads[kind, name].spec:
            message = f"scales {kind}/{name}, whose replicas Argo CD would set back"
            yield Problem(item.where, message, "leave its replicas out")


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
                    if port is not None and not _may_ask(item, container, port):
                        yield Problem(item.where, f"{probe} asks port {port!r}, which is not there")


def _may_ask(item: Item, container: Tree, port: Any) -> bool:
    """A number may be of any container of the pod; a name is looked up in the container's own."""
    if isinstance(port, int):
        return has_port(item, port)
    return any(declared.get("name") == port for declared in items(container, "ports"))


def _check_ingresses(objects: Sequence[Item], host: str, customer_id: str) -> Iterator[Problem]:
    for item in find(objects, "Ingress"):
        rules = items(item.spec, "rules")
        hosts = [rule.get("host") for rule in rules]
        hosts += [name for tls in items(item.spec, "tls") for name in texts(tls.get("hosts"))]
        hosts += [name for text in _more_hosts(item) for name in re.split(r"[\s,]+", text)]
        for found in sorted({str(name) for name in hosts if name != host}):
            yield Problem(item.where, f"answers for the host {found!r}, not only for {host!r}")
        if not hosts:
            yield Problem(item.where, "names no host")
        for tls in items(item.spec, "tls"):
            if tls.get("secretName") not in (None, f"{customer_id}-tls"):
                yield Problem(item.where, f"uses the certificate {tls.get('secretName')!r}")
        for annotation, value in item.annotations.items():
            if annotation.endswith("-snippet"):
                yield Problem(item.where, f"{annotation} can reconfigure the whole controller")
            namespace, slash, _ = str(value).partition("/")
            if annotation.endswith("-secret") and slash and namespace != item.namespace:
                yield Problem(item.where, f"{annotation} names a Secret of another namespace")
        yield from _check_backends(item, objects)
        yield from _check_reached(item, objects)


def _more_hosts(ingress: Item) -> list[str]:
    return [
        str(text).strip() for key, text in ingress.annotations.items() if key.endswith(_MORE_HOSTS)
    ]


def _check_certificates(objects: Sequence[Item], host: str, customer_id: str) -> Iterator[Problem]:
    for item in find(objects, "Certificate"):
        names = [name for key in _NAMES for name in texts(item.spec.get(key))]
        names += [str(item.spec["commonName"])] if item.spec.get("commonName") else []
        for found in sorted(set(names) - {host}):
            yield Problem(item.where, f"is for {found!r}, not only for {host!r}")
        if item.spec.get("secretName") != f"{customer_id}-tls":
            yield Problem(item.where, f"writes into the Secret {item.spec.get('secretName')!r}")


def _check_backends(ingress: Item, objects: Sequence[Item]) -> Iterator[Problem]:
    for service in backends(ingress):
        port = tree(service, "port")
        if not _has_service(objects, service.get("name"), port.get("number", port.get("name"))):
            yield Problem(
                ingress.where, f"leads to {service.get('name')!r}, which has no such port"
            )


def _check_reached(ingress: Item, objects: Sequence[Item]) -> Iterator[Problem]:
    """Who forgets the policy, or its label on the pods, has an instance that never answers."""
    policies = list(find(objects, "NetworkPolicy"))
    closed = {
        f"leads to port {port!r} of {workload.where}, where no NetworkPolicy lets anybody in"
        for workload, port in _led_to(ingress, objects)
        if not lets_somebody_in(policies, Pod.of(workload, {}), port)
    }
    for message in sorted(closed):
        yield Problem(ingress.where, message, "one that selects these pods, and names the port")


def _led_to(ingress: Item, objects: Sequence[Item]) -> Iterator[tuple[Item, Any]]:
    """Workloads behind an Ingress, and the port of each that answers."""
    for backend in backends(ingress):
        port = tree(backend, "port")
        for service in _find_services(objects, backend.get("name")):
            pods = [item for item in objects if _selects(service, item)]
            for declared in _find_ports(service, port.get("number", port.get("name"))):
                target = declared.get("targetPort", declared.get("port"))
                yield from ((workload, target) for workload in pods)


def backends(ingress: Item) -> list[Tree]:
    """The Services that an Ingress leads to; empty mappings where it names none."""
    named = [tree(path, "backend") for path in paths(ingress)]
    found = [tree(ingress.spec, "defaultBackend"), *named]
    return [tree(backend, "service") for backend in found if backend]


def _has_service(objects: Sequence[Item], name: Any, port: Any) -> bool:
    return any(_find_ports(service, port) for service in _find_services(objects, name))


def _find_services(objects: Sequence[Item], name: Any) -> list[Item]:
    return [service for service in find(objects, "Service") if service.name == name]


def _find_ports(service: Item, port: Any) -> list[Tree]:
    """The ports of a Service by that number or name."""
    return [
        declared
        for declared in items(service.spec, "ports")
        if port in (declared.get("port"), declared.get("name"))
    ]

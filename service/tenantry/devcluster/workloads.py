"""Whether pods would start: what their template refers to, and whether it is there. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tenantry.devcluster.kinds import WORKLOADS, Key

Manifest = Mapping[str, Any]
Objects = Mapping[Key, Manifest]
Secrets = Mapping[str, Mapping[str, str]]  # name -> opened values


def workloads(objects: Objects) -> dict[Key, Manifest]:
    """What makes pods."""
    return {key: one for key, one in objects.items() if key.kind in WORKLOADS}


def replicas(workload: Manifest) -> int:
    """How many pods it wants."""
    if workload.get("kind") == "DaemonSet":
        return 1
    wanted = (workload.get("spec") or {}).get("replicas")
    return 1 if wanted is None else int(wanted)


def template(workload: Manifest) -> Manifest:
    """Its pod template."""
    found: Manifest = (workload.get("spec") or {}).get("template") or {}
    return found


def pod_spec(workload: Manifest) -> Manifest:
    """The pod's spec."""
    found: Manifest = template(workload).get("spec") or {}
    return found


def labels(workload: Manifest) -> dict[str, str]:
    """The labels of its pods."""
    found: dict[str, str] = (template(workload).get("metadata") or {}).get("labels") or {}
    return found


def digest(workload: Manifest) -> str:
    """Changes when, and only when, the pods must be replaced."""
    return hashlib.sha256(json.dumps(template(workload), sort_keys=True).encode()).hexdigest()


def replica_set_name(key: Key, workload: Manifest) -> str:
    """`app-5d8c7f9b64`: what a Deployment calls its ReplicaSet."""
    return f"{key.name}-{digest(workload)[:10]}"


def pod_name(key: Key, workload: Manifest, number: int = 0) -> str:
    """The name of one of its pods."""
    if key.kind == "StatefulSet":
        return f"{key.name}-{number}"
    tail = hashlib.sha256(f"{key.home}/{number}".encode()).hexdigest()[:5]
    owner = replica_set_name(key, workload) if key.kind == "Deployment" else key.name
    return f"{owner}-{tail}"


def words(key: Key, workload: Manifest, pod: str) -> dict[str, str]:
    """What the text of a fault may name."""
    found = {"name": key.name, "namespace": key.namespace, "pod": pod}
    return {**found, "image": next(iter(images(workload)), "")}


def replaces_in_place(workload: Manifest) -> bool:
    """Whether old pods go before new ones come, so that both never count at once."""
    if workload.get("kind") != "Deployment":
        return True
    strategy = (workload.get("spec") or {}).get("strategy") or {}
    surge = (strategy.get("rollingUpdate") or {}).get("maxSurge")
    return strategy.get("type") == "Recreate" or surge in {0, "0", "0%"}


def images(workload: Manifest) -> list[str]:
    """The images of its containers, each once."""
    return list(dict.fromkeys(str(one.get("image")) for one in _containers(pod_spec(workload))))


def blockers(workload: Manifest, objects: Objects, secrets: Secrets) -> list[str]:
    """Why its pods would not start, in the kubelet's words; empty where they would."""
    pod = pod_spec(workload)
    found: list[str] = []
    account = pod.get("serviceAccountName") or "default"
    if account != "default" and not _has(objects, "ServiceAccount", account):
        found.append(f'serviceaccount "{account}" not found')
    found += [
        f'persistentvolumeclaim "{claim}" not found'
        for claim in claims(pod)
        if not _has(objects, "PersistentVolumeClaim", claim)
    ]
    for kind, name, key in _references(pod):
        values = secrets.get(name) if kind == "secret" else _config(objects, name)
        if values is None:
            found.append(f'{kind} "{name}" not found')
        elif key is not None and key not in values:
            found.append(f"couldn't find key {key} in {kind} {name}")
    return list(dict.fromkeys(found))


def secret_values(workload: Manifest, secrets: Secrets) -> dict[tuple[str, str], str]:
    """The values that its pods read when they start, by Secret and key."""
    read: dict[tuple[str, str], str] = {}
    for kind, name, key in _references(pod_spec(workload)):
        if kind == "secret":
            values = secrets.get(name, {})
            keys = values.keys() if key is None else values.keys() & {key}
            read |= {(name, one): values[one] for one in keys}
    return read


def claims(pod: Manifest) -> list[str]:
    """The PersistentVolumeClaims that a pod mounts."""
    sources = (volume.get("persistentVolumeClaim") for volume in pod.get("volumes") or ())
    return [str(source["claimName"]) for source in sources if source]


def serves(service: Manifest, port: object, workload: Manifest) -> bool:
    """Whether a Service leads its port (number or name) to a port that the pods declare."""
    spec = service.get("spec") or {}
    selector = spec.get("selector") or {}
    if not selector or not selector.items() <= labels(workload).items():
        return False
    wanted = [one for one in spec.get("ports") or () if port in {one.get("port"), one.get("name")}]
    declared = {
        number_or_name
        for container in pod_spec(workload).get("containers") or ()
        for one in container.get("ports") or ()
        for number_or_name in (one.get("containerPort"), one.get("name"))
    }
    return any((one.get("targetPort") or one.get("port")) in declared for one in wanted)


def _containers(pod: Manifest) -> Iterable[Manifest]:
    return [*(pod.get("initContainers") or ()), *(pod.get("containers") or ())]


def _references(pod: Manifest) -> Iterator[tuple[str, str, str | None]]:
    """Kind (`secret`, `configmap`), name, and key or None for all of it; optional ones left out."""
    for container in _containers(pod):
        for variable in container.get("env") or ():
            source = variable.get("valueFrom") or {}
            yield from _reference("secret", source.get("secretKeyRef"), "name")
            yield from _reference("configmap", source.get("configMapKeyRef"), "name")
        for source in container.get("envFrom") or ():
            yield from _reference("secret", source.get("secretRef"), "name")
            yield from _reference("configmap", source.get("configMapRef"), "name")
    for volume in pod.get("volumes") or ():
        yield from _reference("secret", volume.get("secret"), "secretName")
        yield from _reference("configmap", volume.get("configMap"), "name")
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield from _reference("secret", source.get("secret"), "name")
            yield from _reference("configmap", source.get("configMap"), "name")


def _reference(
    kind: str, source: Manifest | None, member: str
) -> Iterator[tuple[str, str, str | None]]:
    if not source or source.get("optional"):
        return
    name = str(source.get(member))
    keys = [source["key"]] if "key" in source else [one["key"] for one in source.get("items") or ()]
    for key in keys or [None]:
        yield kind, name, key


def _has(objects: Objects, kind: str, name: str) -> bool:
    return any(key.kind == kind and key.name == name for key in objects)


def _config(objects: Objects, name: str) -> Mapping[str, str] | None:
    for key, manifest in objects.items():
        if key.kind == "ConfigMap" and key.name == name:
            return {**(manifest.get("data") or {}), **(manifest.get("binaryData") or {})}
    return None

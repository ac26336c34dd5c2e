"""What Kubernetes and cert-manager make of applied objects: ReplicaSets, Pods, Certificates.

Nothing of it is stored: it follows from the pods that run, or would run but for what holds them up.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from tenantry.devcluster import workloads
from tenantry.devcluster.application import Application
from tenantry.devcluster.cluster import Cluster, Health, filled
from tenantry.devcluster.kinds import WORKLOADS, Key
from tenantry.devcluster.namespace import Live, Rollout

Node = dict[str, Any]


def children(
    application: Application, live: Mapping[Key, Live], cluster: Cluster
) -> Iterator[Node]:
    """The nodes below an Application's objects, parents first."""
    for key in sorted(live):
        if key.kind in WORKLOADS:
            yield from _below_workload(application, key, live[key], cluster)
    if not any(key.kind == "Certificate" for key in live):
        yield from _certificates(application, live, cluster)


def _below_workload(
    application: Application, key: Key, live: Live, cluster: Cluster
) -> Iterator[Node]:
    rollout = cluster.rollout(key)
    parent = _reference(key, live.uid)
    if key.kind == "Deployment":
        name = workloads.replica_set_name(key, live.manifest)
        refused = rollout is not None and not rollout.created
        health = (
            {"status": "Degraded", "message": rollout.reason}
            if rollout and refused
            else {"status": "Progressing" if rollout else "Healthy"}
        )
        node = _node(Key("apps", "ReplicaSet", key.namespace, name), parent, live, health)
        yield node | {"info": [{"name": "Revision", "value": "Rev:1"}]}
        parent = _reference(Key("apps", "ReplicaSet", key.namespace, name), node["uid"])
    if rollout is not None and not rollout.created:
        return
    for number in range(workloads.replicas(live.manifest)):
        name = workloads.pod_name(key, live.manifest, number)
        health = _pod_health(application, key, live, rollout, name, cluster)
        pod = _node(Key("", "Pod", key.namespace, name), parent, live, health)
        yield pod | {"images": workloads.images(live.manifest)}


def _pod_health(
    application: Application,
    key: Key,
    live: Live,
    rollout: Rollout | None,
    name: str,
    cluster: Cluster,
) -> Health:
    if rollout is None:
        return {"status": "Healthy"}
    fault = cluster.pod_fault(application.name)
    if fault is None:
        return {"status": "Degraded", "message": rollout.reason}
    words = workloads.words(key, live.manifest, name)
    return {member: text.format_map(words) for member, text in fault.pod.items()}


def _certificates(
    application: Application, live: Mapping[Key, Live], cluster: Cluster
) -> Iterator[Node]:
    """What cert-manager makes of an Ingress, shown where something is the matter with it."""
    for key in sorted(one for one in live if one.kind == "Ingress"):
        made = Key("cert-manager.io", "Certificate", key.namespace, f"{key.name}-tls")
        for fault in cluster.broken.faults_of(application.name, made):
            health = filled(fault.health or {}, made)
            yield _node(made, _reference(key, live[key].uid), live[key], health)


def _reference(key: Key, uid: str) -> dict[str, str]:
    group = {"group": key.group} if key.group else {}
    return {
        **group, "kind": key.kind, "namespace": key.namespace, "name": key.name, "uid": uid
    }  # fmt: skip


def _node(key: Key, parent: Mapping[str, str], live: Live, health: Health) -> Node:
    group = {"group": key.group} if key.group else {}
    return {
        **group,
        "version": "v1",
        "kind": key.kind,
        "namespace": key.namespace,
        "name": key.name,
        "uid": str(uuid.uuid5(uuid.UUID(parent["uid"]), key.name)),
        "parentRefs": [dict(parent)],
        "resourceVersion": str(live.version),
        "health": health,
        "createdAt": live.created,
    }

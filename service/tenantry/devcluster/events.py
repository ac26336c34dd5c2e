"""Kubernetes events: those of an Application, and those of one object in its resource tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tenantry.devcluster import workloads
from tenantry.devcluster.application import NAMESPACE, Application
from tenantry.devcluster.cluster import Cluster
from tenantry.devcluster.faults import Happening
from tenantry.devcluster.kinds import WORKLOADS

Item = dict[str, Any]

_CONTROLLER = "argocd-application-controller"


def application_events(application: Application) -> list[Item]:
    """How its last operation began and ended."""
    operation = application.operation
    if operation is None:
        return []
    revision = operation.request["sync"]["revision"]
    about = {
        "kind": "Application",
        "namespace": NAMESPACE,
        "name": application.name,
        "uid": application.uid,
        "apiVersion": "argoproj.io/v1alpha1",
    }
    by = "automated sync" if operation.request["initiatedBy"].get("automated") else "sync"
    began = Happening("", "OperationStarted", f"Initiated {by} to '{revision}'", _CONTROLLER)
    items = [_item(about, began, operation.started, "Normal")]
    if operation.finished and operation.phase != "Running":
        good = operation.phase == "Succeeded"
        words = "succeeded" if good else f"failed: {operation.message}"
        ended = Happening(
            "", "OperationCompleted", f"Sync operation to {revision} {words}", _CONTROLLER
        )
        items.append(_item(about, ended, operation.finished, "Normal" if good else "Warning"))
    return items


def resource_events(
    application: Application, node: Mapping[str, Any], cluster: Cluster
) -> list[Item]:
    """What happens to one object of the resource tree."""
    group = f"{node['group']}/" if node.get("group") else ""
    about = {
        "kind": node["kind"],
        "namespace": node.get("namespace", ""),
        "name": node["name"],
        "uid": node["uid"],
        "apiVersion": f"{group}{node['version']}",
    }
    words = _words(application, node, cluster)
    faults = cluster.broken.faults(application.name)
    found = [
        replace(one, message=one.message.format_map(words))
        for fault in faults
        for one in fault.happenings
        if one.kind == node["kind"]
    ]
    return [
        _item(about, one, node["createdAt"], "Warning") for one in found or list(_held_up(node))
    ]


def _held_up(node: Mapping[str, Any]) -> Iterator[Happening]:
    """What the kubelet or the ReplicaSet says where nothing was broken on demand."""
    message = node.get("health", {}).get("message", "")
    if message and node["kind"] == "Pod":
        yield Happening("Pod", "Failed", f"Error: {message}", "kubelet")
    if message and node["kind"] == "ReplicaSet":
        text = f"Error creating: {message}"
        yield Happening("ReplicaSet", "FailedCreate", text, "replicaset-controller")


def _words(
    application: Application, node: Mapping[str, Any], cluster: Cluster
) -> Mapping[str, str]:
    """What texts may name; the workload is the one that the node is named after."""
    live = cluster.owned(application.name, application.namespace)
    for key, one in live.items():
        if key.kind in WORKLOADS and node["name"].startswith(key.name):
            pod = node["name"] if node["kind"] == "Pod" else workloads.pod_name(key, one.manifest)
            return workloads.words(key, one.manifest, pod)
    return {"name": node["name"], "namespace": node.get("namespace", "")}


def _item(about: Mapping[str, str], what: Happening, when: str, kind: str) -> Item:
    return {
        "metadata": {
            "name": f"{about['name']}.{about['uid'][:8]}{len(what.message):08x}",
            "namespace": about["namespace"],
            "creationTimestamp": when,
        },
        "involvedObject": dict(about),
        "reason": what.reason,
        "message": what.message,
        "source": {"component": what.component},
        "firstTimestamp": when,
        "lastTimestamp": when,
        "count": 1,
        "type": kind,
        "eventTime": None,
    }

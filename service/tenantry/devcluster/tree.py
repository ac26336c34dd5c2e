"""The resource tree: what an Application has in the cluster, and what Kubernetes makes of it.

As with Argo CD, children are there only where the project permits their kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenantry.devcluster.application import Application
from tenantry.devcluster.children import children
from tenantry.devcluster.cluster import Cluster
from tenantry.devcluster.kinds import Key, version_of
from tenantry.devcluster.namespace import Live
from tenantry.devcluster.project import Project


def resource_tree(application: Application, cluster: Cluster, project: Project) -> dict[str, Any]:
    """The nodes; without any, the member is missing."""
    live = cluster.owned(application.name, application.namespace)
    nodes = [_node(key, live[key], cluster) for key in sorted(live)]
    nodes += [
        child
        for child in children(application, live, cluster)
        if project.refusal(node_key(child)) is None
    ]
    return {"nodes": nodes} if nodes else {}


def node_key(node: Mapping[str, Any]) -> Key:
    """The key of a node's object."""
    return Key(node.get("group", ""), node["kind"], node.get("namespace", ""), node["name"])


def _node(key: Key, live: Live, cluster: Cluster) -> dict[str, Any]:
    node: dict[str, Any] = {"group": key.group} if key.group else {}
    node |= {"version": version_of(live.manifest), "kind": key.kind}
    if key.namespace:
        node["namespace"] = key.namespace
    node |= {"name": key.name, "uid": live.uid}
    node |= _details(key, live.manifest)
    node["resourceVersion"] = str(live.version)
    health = cluster.health(key)
    if health is not None:
        node["health"] = health
    node["createdAt"] = live.created
    return node


def _details(key: Key, manifest: Mapping[str, Any]) -> dict[str, Any]:
    if key.kind == "Service":
        selector = (manifest.get("spec") or {}).get("selector") or {}
        return {"networkingInfo": {"targetLabels": dict(selector)}}
    if key.kind == "Deployment":
        return {"info": [{"name": "Revision", "value": "Rev:1"}]}
    return {}

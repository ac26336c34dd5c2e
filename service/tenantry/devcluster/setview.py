"""An ApplicationSet's document as Argo CD writes it."""

from __future__ import annotations

from typing import Any

from tenantry.devcluster.application import NAMESPACE
from tenantry.devcluster.applicationset import ApplicationSet
from tenantry.devcluster.registry import Document, Registry


def set_document(one: ApplicationSet, registry: Registry) -> dict[str, Any]:
    """Metadata, spec, and a status with conditions and Applications."""
    resources = [
        _resource(document) for document in registry.documents() if _belongs(document, one.name)
    ]
    given = {
        name: value
        for name, value in one.manifest["metadata"].items()
        if name in {"labels", "annotations", "finalizers"}
    }
    return {
        "metadata": {
            "name": one.name,
            "namespace": NAMESPACE,
            "uid": one.uid,
            "resourceVersion": registry.version,
            "generation": 1,
            "creationTimestamp": one.created,
            **given,
        },
        "spec": one.spec,
        "status": {
            "conditions": list(one.conditions),
            "resources": resources,
            "resourcesCount": len(resources),
            "health": _health(one),
        },
    }


def _health(one: ApplicationSet) -> dict[str, str]:
    message = next((found["message"] for found in one.conditions), "")
    return {"status": "Degraded" if one.failed else "Healthy", "message": message}


def _belongs(document: Document, name: str) -> bool:
    return any(owner["name"] == name for owner in document["metadata"].get("ownerReferences", ()))


def _resource(document: Document) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "group": "argoproj.io",
        "version": "v1alpha1",
        "kind": "Application",
        "namespace": NAMESPACE,
        "name": document["metadata"]["name"],
    }
    if document["status"]["sync"]["status"]:
        resource["status"] = document["status"]["sync"]["status"]
    health = {
        name: value for name, value in document["status"]["health"].items() if name == "status"
    }
    return {**resource, "health": health}

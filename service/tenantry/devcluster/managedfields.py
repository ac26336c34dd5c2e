"""`metadata.managedFields`: who wrote what, in the shape that Kubernetes gives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SET_METADATA = ("annotations", "finalizers", "labels", "ownerReferences")


def managed_fields(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Entries of the ApplicationSet controller and, once there is a status, of the controller."""
    metadata = document["metadata"]
    kept = {name: metadata[name] for name in _SET_METADATA if name in metadata}
    entries = [_entry("argocd", metadata, {"metadata": kept, "spec": document["spec"]})]
    if "controllerNamespace" in document["status"]:
        status = {"status": document["status"]}
        entries.append(_entry("argocd-application-controller", metadata, status))
    return entries


def _entry(manager: str, metadata: Mapping[str, Any], written: Any) -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": "Update",
        "apiVersion": "argoproj.io/v1alpha1",
        "time": metadata["creationTimestamp"],
        "fieldsType": "FieldsV1",
        "fieldsV1": _fields(written),
    }


def _fields(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {}
    return {f"f:{name}": _fields(member) for name, member in value.items()}

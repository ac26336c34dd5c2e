"""What the API server refuses when an object is applied, in its words."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tenantry.devcluster import quota
from tenantry.devcluster.kinds import Key, is_known
from tenantry.devcluster.namespace import Manifest, Namespace

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_HELP = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_HELP = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_KINDS = {"Namespace", "Service"}


def object_refusal(key: Key, manifest: Manifest, namespaces: Mapping[str, Namespace]) -> str | None:
    """Why the object is not taken; None where it is."""
    if not is_known(key):
        return (
            f"The Kubernetes API could not find {key.group}/{key.kind} for requested resource "
            f'{key.namespace}/{key.name}. Make sure the "{key.kind}" CRD is installed on the '
            "destination cluster."
        )
    if faults := [*_name_faults(key), *_port_faults(key, manifest)]:
        listed = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
        kind = f"{key.kind}.{key.group}" if key.group else key.kind
        return f'{kind} "{key.name}" is invalid: {listed}'
    if key.namespace and not _exists(key, namespaces):
        return f'namespaces "{key.namespace}" not found'
    return _size_refusal(key, manifest, namespaces) or _quota_refusal(key, manifest, namespaces)


def _name_faults(key: Key) -> list[str]:
    pattern, words = (
        (_LABEL, _LABEL_HELP) if key.kind in _LABEL_KINDS else (_SUBDOMAIN, _SUBDOMAIN_HELP)
    )
    limit = 63 if key.kind in _LABEL_KINDS else 253
    if key.kind in {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}:
        return []
    if len(key.name) > limit:
        return [f'metadata.name: Invalid value: "{key.name}": must be no more than {limit} bytes']
    if pattern.fullmatch(key.name):
        return []
    return [f'metadata.name: Invalid value: "{key.name}": {words}']


def _port_faults(key: Key, manifest: Manifest) -> list[str]:
    if key.kind != "Service":
        return []
    found = []
    for number, port in enumerate((manifest.get("spec") or {}).get("ports") or ()):
        for member in ("port", "targetPort"):
            value = port.get(member, port.get("port"))
            if isinstance(value, int) and not 1 <= value <= 65535:
                where = f"spec.ports[{number}].{member}"
                found.append(
                    f"{where}: Invalid value: {value}: must be between 1 and 65535, inclusive"
                )
    return found


def _exists(key: Key, namespaces: Mapping[str, Namespace]) -> bool:
    namespace = namespaces.get(key.namespace)
    return namespace is not None and any(one.kind == "Namespace" for one in namespace.objects)


def _size_refusal(key: Key, manifest: Manifest, namespaces: Mapping[str, Namespace]) -> str | None:
    """Of another size of a claim that no pod has used yet: it is unbound."""
    namespace = namespaces.get(key.home)
    live = namespace.objects.get(key) if namespace else None
    if key.kind != "PersistentVolumeClaim" or namespace is None or live is None:
        return None
    if key.name in namespace.bound:
        return None
    if quota.object_needs(manifest) == quota.object_needs(live.manifest):
        return None
    return (
        f'{key.kind} "{key.name}" is invalid: spec: Forbidden: spec is immutable after creation '
        "except resources.requests and volumeAttributesClassName for bound claims"
    )


def _quota_refusal(key: Key, manifest: Manifest, namespaces: Mapping[str, Namespace]) -> str | None:
    namespace = namespaces.get(key.home)
    needs = quota.object_needs(manifest)
    if namespace is None or not needs or key in namespace.objects:
        return None
    used: quota.Amounts = {}
    for live in namespace.objects.values():
        quota.add(used, quota.object_needs(live.manifest))
    refusal = quota.refusal(namespace.of_kind("ResourceQuota"), needs, used)
    if refusal is None:
        return None
    return f'{key.kind.lower()}s "{key.name}" is forbidden: {refusal}'

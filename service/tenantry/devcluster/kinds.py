"""What the stand-in's API server knows of kinds: where they live, the order of applying them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

# gitops-engine's order; kinds that it does not name come last
_ORDER = [
    "Namespace", "NetworkPolicy", "ResourceQuota", "LimitRange", "PodDisruptionBudget",
    "ServiceAccount", "Secret", "ConfigMap", "PersistentVolumeClaim", "Role", "RoleBinding",
    "Service", "DaemonSet", "Deployment", "HorizontalPodAutoscaler", "StatefulSet", "Job",
    "CronJob", "Ingress",
]  # fmt: skip
RANK = {kind: rank for rank, kind in enumerate(_ORDER)}

KNOWN = {
    "": {
        "ConfigMap", "LimitRange", "Namespace", "PersistentVolumeClaim", "ResourceQuota", "Secret",
        "Service", "ServiceAccount",
    },
    "apps": {"DaemonSet", "Deployment", "StatefulSet"},
    "autoscaling": {"HorizontalPodAutoscaler"},
    "batch": {"CronJob", "Job"},
    "bitnami.com": {"SealedSecret"},
    "cert-manager.io": {"Certificate", "Issuer"},
    "networking.k8s.io": {"Ingress", "NetworkPolicy"},
    "policy": {"PodDisruptionBudget"},
    "rbac.authorization.k8s.io": {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"},
}  # fmt: skip
CLUSTER_WIDE = {"Namespace", "ClusterRole", "ClusterRoleBinding"}
WORKLOADS = {"DaemonSet", "Deployment", "StatefulSet"}
WAVE = "argocd.argoproj.io/sync-wave"
SYNC_OPTIONS = "argocd.argoproj.io/sync-options"

Manifest = Mapping[str, Any]


class Key(NamedTuple):
    """Names one object; sorts as Argo CD lists resources."""

    group: str
    kind: str
    namespace: str  # "" for cluster-wide kinds
    name: str

    @property
    def home(self) -> str:
        """The namespace that the object belongs to; a Namespace belongs to itself."""
        return self.namespace or self.name


def key_of(manifest: Manifest, namespace: str) -> Key:
    """The object's key; `namespace` is where it goes when it does not say."""
    group, kind = group_of(manifest), str(manifest.get("kind", ""))
    metadata = manifest.get("metadata") or {}
    home = "" if kind in CLUSTER_WIDE else str(metadata.get("namespace") or namespace)
    return Key(group, kind, home, str(metadata.get("name", "")))


def group_of(manifest: Manifest) -> str:
    """`apps` of `apps/v1`; the core group is empty."""
    group, slash, _ = str(manifest.get("apiVersion", "")).partition("/")
    return group if slash else ""


def version_of(manifest: Manifest) -> str:
    """`v1` of `apps/v1`."""
    return str(manifest.get("apiVersion", "")).rpartition("/")[2]


def is_known(key: Key) -> bool:
    """Whether the stand-in's cluster has this kind."""
    return key.kind in KNOWN.get(key.group, ())


def wave_of(manifest: Manifest) -> int:
    """The sync wave; 0 where none, or no number, is given."""
    try:
        return int(_annotations(manifest).get(WAVE, 0))
    except ValueError:
        return 0


def has_option(manifest: Manifest, option: str) -> bool:
    """Whether the object carries a sync option such as `Prune=false`."""
    return option in [
        part.strip() for part in _annotations(manifest).get(SYNC_OPTIONS, "").split(",")
    ]


def apply_order(key: Key) -> tuple[int, Key]:
    """Sorts objects as Argo CD applies them within a wave."""
    return RANK.get(key.kind, len(RANK)), key


def _annotations(manifest: Manifest) -> dict[str, str]:
    found = (manifest.get("metadata") or {}).get("annotations") or {}
    return {str(name): str(value) for name, value in found.items()}

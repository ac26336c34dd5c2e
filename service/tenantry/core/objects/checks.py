"""What built objects must be before anything is published (R27).

`check_objects` looks at everything that Kustomize made of one overlay. Beside it lies what objects
ask of each other (`references`), whether pods would be let in (`admission`), who may talk to whom
(`isolation`), what may run in which state (`states`), what is no text or amount (`spelling`), and
what was copied from a cluster (`traces`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tenantry.core.images import check_pinned
from tenantry.core.model import State, TenantSpec
from tenantry.core.objects import admission, isolation, references, sealed, states
from tenantry.core.objects.item import Item, find, items, quantity, tree
from tenantry.core.objects.needs import secret_keys_read
from tenantry.core.objects.spelling import check_spelling
from tenantry.core.objects.traces import check_traces
from tenantry.core.problem import Problem
from tenantry.core.product import Product
from tenantry.core.secret import Source

__all__ = ["ALLOWED_KINDS", "Expected", "Problem", "check_objects"]

# (group, kind) that an overlay may make, beside its Namespace; the AppProject allows no others
ALLOWED_KINDS = frozenset(
    {
        ("", "ConfigMap"),
        ("", "LimitRange"),
        ("", "PersistentVolumeClaim"),
        ("", "ResourceQuota"),
        ("", "Service"),
        ("", "ServiceAccount"),
        ("apps", "Deployment"),
        ("apps", "StatefulSet"),
        ("autoscaling", "HorizontalPodAutoscaler"),
        ("batch", "CronJob"),
        ("batch", "Job"),
        ("bitnami.com", "SealedSecret"),
        ("cert-manager.io", "Certificate"),
        ("networking.k8s.io", "Ingress"),
        ("networking.k8s.io", "NetworkPolicy"),
        ("policy", "PodDisruptionBudget"),
    }
)
_KINDS = f"allowed: {', '.join(sorted(kind for _, kind in ALLOWED_KINDS))}"
# what is served of a group, where it is not just v1
_VERSIONS = {"autoscaling": {"v1", "v2"}, "bitnami.com": {"v1alpha1"}}
LICENSE_VERSION = "tenantry.dev/license-version"
SECRETS_VERSION = "tenantry.dev/secrets-version"
MOST_PER_OBJECT = 1024 * 1024  # bytes; the API server's own limit
MOST = 2 * 1024 * 1024  # bytes of one tenant

_DNS_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_DNS_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_HOOKS = ("argocd.argoproj.io/hook", "helm.sh/hook")  # Argo CD knows both


@dataclass(frozen=True)
class Expected:
    """What one tenant's objects must say; None: not known, so only required to be there."""

    name: str
    customer_id: str
    host: str
    state: State
    license_version: str | None = None
    secrets_version: str | None = None
    volumes: Mapping[str, str] | None = None

    @classmethod
    def of(cls, spec: TenantSpec, product: Product) -> Expected:
        """Everything, from the specification."""
        return cls(
            name=spec.name,
            customer_id=spec.customer_id,
            host=spec.host,
            state=spec.state,
            license_version=product.secret.license_version(spec.license_id, spec.secret_versions),
            secrets_version=product.secret.version(spec.secret_versions),
            volumes=spec.volumes,
        )


def check_objects(
    objects: Sequence[Mapping[str, Any]], *, expected: Expected, product: Product
) -> list[Problem]:
    """Everything that is wrong with the objects of one tenant's overlay; empty: publish it."""
    built = [Item(body) for body in objects]
    if shapes := list(_check_shapes(built)):
        return shapes  # nothing further can be said of objects without kind or name
    return [
        *_check_kinds(built),
        *_check_namespaces(built, expected.name),
        *_check_hooks(built),
        *_check_sizes(built),
        *check_spelling(built),
        *check_traces(built),
        *sealed.check_sealed(built, product),
        *references.check_references(built, host=expected.host, customer_id=expected.customer_id),
        *admission.check_admission(built),
        *isolation.check_isolation(built),
        *states.check_state(built, expected.state, read_only=product.ingress.read_only),
        *_check_pods(built),
        *_check_versions(built, expected, product),
        *_check_volumes(built, expected),
    ]


def _check_shapes(objects: list[Item]) -> Iterator[Problem]:
    for item in objects:
        if not item.kind or not item.body.get("apiVersion"):
            yield Problem(item.where, "has no apiVersion or kind")
        pattern = _DNS_LABEL if item.kind in ("Namespace", "Service") else _DNS_NAME
        if not pattern.fullmatch(item.name) or len(item.name) > 253:
            yield Problem(item.where, f"{item.name!r} is not a legal name", "a-z, 0-9 and -")
    counted = Counter((item.group, item.kind, item.name) for item in objects)
    for (_, kind, name), count in counted.items():
        if count > 1:
            yield Problem(f"{kind}/{name}", f"is there {count} times")


def _check_kinds(objects: list[Item]) -> Iterator[Problem]:
    for item in objects:
        if (item.group, item.kind) == ("", "Secret"):
            yield Problem(item.where, "is a plain Secret", "seal it: a SealedSecret")
        elif (item.group, item.kind) not in ALLOWED_KINDS | {("", "Namespace")}:
            yield Problem(item.where, "is of a kind that tenants may not have", _KINDS)
        elif item.version not in _VERSIONS.get(item.group, {"v1"}):
            served = " or ".join(sorted(_VERSIONS.get(item.group, {"v1"})))
            message = f"is of version {item.version!r}, which clusters do not serve"
            yield Problem(item.where, message, f"say {served}")


def _check_hooks(objects: list[Item]) -> Iterator[Problem]:
    """Argo CD applies a hook at its moment, or never (`Skip`), and does not watch it: what isolates
    or protects a tenant must not be one.
    """
    for item in objects:
        for annotation in _HOOKS if item.kind != "Job" else ():
            if annotation in item.annotations:
                message = f"is a hook by {annotation}, so it may not be in the cluster"
                yield Problem(item.where, message, "only a Job may be one")


def _check_namespaces(objects: list[Item], name: str) -> Iterator[Problem]:
    namespaces = [item.name for item in find(objects, "Namespace")]
    if namespaces != [name]:
        yield Problem("Namespace", f"there must be one, {name!r}, not {namespaces}")
    for item in objects:
        if item.kind != "Namespace" and item.namespace != name:
            yield Problem(item.where, f"is in namespace {item.namespace!r}, not in {name!r}")


def _check_sizes(objects: list[Item]) -> Iterator[Problem]:
    sizes = [len(json.dumps(item.body).encode()) for item in objects]
    for item, size in zip(objects, sizes, strict=True):
        if size >= MOST_PER_OBJECT:
            yield Problem(item.where, f"has {size} bytes; the API server takes 1 MiB at most")
    if sum(sizes) >= MOST:
        yield Problem("overlay", f"has {sum(sizes)} bytes; 2 MiB at most")


def _check_pods(objects: list[Item]) -> Iterator[Problem]:
    for item in objects:
        for image in sorted({str(container.get("image")) for container in item.all_containers}):
            try:
                check_pinned(image)
            except ValueError as error:
                yield Problem(item.where, f"the image {image!r} {error}")
        if item.pod and _gets_token(item):
            yield Problem(
                item.where,
                "gives its pods a token for the cluster's API, which tenants have no use for",
                "say automountServiceAccountToken: false in the pod's spec, and project none",
            )
        if item.pod.get("nodeName"):
            yield Problem(item.where, "names its node, past the scheduler", "use a nodeSelector")
        if str(item.pod.get("priorityClassName")).startswith("system-"):
            yield Problem(item.where, "would evict other tenants' pods as the system's may")


def _gets_token(item: Item) -> bool:
    projected = (
        source for volume in item.volumes for source in items(tree(volume, "projected"), "sources")
    )
    is_mounted = item.pod.get("automountServiceAccountToken") is not False
    return is_mounted or any("serviceAccountToken" in source for source in projected)


def _check_versions(objects: list[Item], expected: Expected, product: Product) -> Iterator[Problem]:
    """A patch whose selector matches nothing is no error for Kustomize, so the result is looked
    at: what reads a license or secret must restart when it changes.
    """
    secret = product.secret
    license_keys = {*secret.keys_from(Source.LICENSE), *secret.keys_from(Source.REVOCATIONS)}
    restarting = {name for name, key in secret.keys.items() if key.restarts}
    for item in objects:
        if item.kind in ("CronJob", "Job"):
            continue  # each run reads what there is
        read = {key for name, key in secret_keys_read(item) if name == secret.name}
        keys = set(secret.keys) if None in read else read
        if keys & license_keys:
            yield from _check_version(item, LICENSE_VERSION, expected.license_version)
        if keys & restarting:
            yield from _check_version(item, SECRETS_VERSION, expected.secrets_version)


def _check_version(item: Item, annotation: str, wanted: str | None) -> Iterator[Problem]:
    found = tree(item.template, "metadata", "annotations").get(annotation)
    if not found or (wanted is not None and found != wanted):
        label = annotation.replace("-version", "").replace("dev/", "dev/reads-")
        yield Problem(
            item.where,
            f"reads what {annotation} stands for, but its pods carry {found!r}",
            f'label the workload {label}: "true"',
        )


def _check_volumes(objects: list[Item], expected: Expected) -> Iterator[Problem]:
    sizes = {
        item.name: tree(item.spec, "resources", "requests").get("storage")
        for item in find(objects, "PersistentVolumeClaim")
    }
    for name, size in sizes.items():
        if quantity(size) is None:
            yield Problem(f"PersistentVolumeClaim/{name}", f"has no legal size: {size!r}")
    for name, size in (expected.volumes or {}).items():
        if sizes.get(name) != size:
            yield Problem(
                f"PersistentVolumeClaim/{name}", f"must have {size}, has {sizes.get(name)}"
            )

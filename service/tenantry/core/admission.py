"""Whether the cluster would let the pods in: Pod Security, quota, limit range.

Argo CD shows none of these as an error: the tenant stays Progressing until its deadline, and the
cause stands in an event. So it is found out before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from tenantry.core.objects import Item, Tree, find, items, quantity, texts, tree
from tenantry.core.problem import Problem

LEVEL = "pod-security.kubernetes.io/enforce"

# what may come beside the tenant's own pods: the one that answers cert-manager's ACME challenge
SOLVER = {
    "pods": Decimal(1),
    "requests.cpu": Decimal("0.01"),
    "requests.memory": Decimal(64 * 2**20),
    "limits.cpu": Decimal("0.1"),
    "limits.memory": Decimal(64 * 2**20),
}
_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip


def check_admission(objects: Sequence[Item]) -> list[Problem]:
    """Pods that Pod Security, the quota or the limit range would refuse."""
    levels = {str(item.labels.get(LEVEL)) for item in find(objects, "Namespace")}
    problems: list[Problem] = []
    if not levels <= {"restricted", "baseline"}:
        problems.append(Problem("Namespace", f"has no Pod Security level: {LEVEL}"))
    for item in objects:
        problems += _check_baseline(item)
        if "restricted" in levels:
            problems += _check_restricted(item)
    return [*problems, *_check_quota(objects), *_check_limit_range(objects)]


def _check_baseline(item: Item) -> Iterator[Problem]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if item.pod.get(name):
            yield Problem(item.where, f"{name} is not allowed")
    for volume in item.volumes:
        kinds = set(volume) - {"name"}
        if not kinds <= _VOLUMES:
            yield Problem(item.where, f"volumes of kind {sorted(kinds - _VOLUMES)} are not allowed")
    for container in item.all_containers:
        context = tree(container, "securityContext")
        added = texts(tree(context, "capabilities").get("add"))
        if context.get("privileged"):
            yield Problem(item.where, "a privileged container is not allowed")
        if added and added != ["NET_BIND_SERVICE"]:
            yield Problem(item.where, f"capabilities {added} are not allowed")
        if any(port.get("hostPort") for port in items(container, "ports")):
            yield Problem(item.where, "hostPort is not allowed")


def _check_restricted(item: Item) -> Iterator[Problem]:
    """What the level `restricted` asks of each container, itself or through its pod."""
    pod = tree(item.pod, "securityContext")
    for container in item.all_containers:
        own = tree(container, "securityContext")
        both: Tree = {**pod, **own}
        if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
            yield _refused(item, container, "runAsNonRoot: true")
        if tree(both, "seccompProfile").get("type") not in ("RuntimeDefault", "Localhost"):
            yield _refused(item, container, "seccompProfile: {type: RuntimeDefault}")
        if own.get("allowPrivilegeEscalation") is not False:
            yield _refused(item, container, "allowPrivilegeEscalation: false")
        if "ALL" not in texts(tree(own, "capabilities").get("drop")):
            yield _refused(item, container, "capabilities: {drop: [ALL]}")


def _refused(item: Item, container: Tree, wanted: str) -> Problem:
    name = container.get("name")
    return Problem(item.where, f"container {name!r} would be refused: it needs {wanted}")


def _check_quota(objects: Sequence[Item]) -> Iterator[Problem]:
    used = _sum_use(objects)
    for item in find(objects, "ResourceQuota"):
        for name, value in tree(item.spec, "hard").items():
            hard = quantity(value)
            if hard is None:
                yield Problem(item.where, f"{name}: {value!r} is no quantity")
            elif name in used and used[name] > hard:
                yield Problem(
                    item.where,
                    f"{name} is {value}, and the overlay needs {used[name].normalize():f}",
                    "rollout surge and an ACME solver pod count",
                )


def _sum_use(objects: Sequence[Item]) -> dict[str, Decimal]:
    used = dict(SOLVER) if any(find(objects, "Ingress")) else {}
    claims = list(find(objects, "PersistentVolumeClaim"))
    used["persistentvolumeclaims"] = Decimal(len(claims))
    used["requests.storage"] = sum(
        (_asks(claim.spec, "requests", "storage") for claim in claims), Decimal(0)
    )
    for item in objects:
        pods = _most_pods(item)
        used["pods"] = used.get("pods", Decimal(0)) + pods
        for kind in ("requests", "limits"):
            for resource in ("cpu", "memory"):
                name = f"{kind}.{resource}"
                used[name] = used.get(name, Decimal(0)) + pods * _pod_asks(item, kind, resource)
    return used


def _pod_asks(item: Item, kind: str, resource: str) -> Decimal:
    """A pod asks for the sum of its containers, or for its greediest init container."""
    running = sum((_asks(part, kind, resource) for part in item.containers), Decimal(0))
    starting = (_asks(part, kind, resource) for part in items(item.pod, "initContainers"))
    return max(running, *starting, Decimal(0))


def _asks(part: Tree, kind: str, resource: str) -> Decimal:
    return quantity(tree(part, "resources", kind).get(resource)) or Decimal(0)


def _most_pods(item: Item) -> int:
    """Pods that exist at once at the worst moment of a rollout."""
    if not item.pod:
        return 0
    strategy = tree(item.spec, "strategy")
    if item.kind != "Deployment" or strategy.get("type") == "Recreate" or not item.replicas:
        return item.replicas
    return item.replicas + _surge(
        tree(strategy, "rollingUpdate").get("maxSurge", "25%"), item.replicas
    )


def _surge(value: Any, replicas: int) -> int:
    text = str(value)
    if text.endswith("%") and text[:-1].isdigit():
        return math.ceil(replicas * int(text[:-1]) / 100)
    return int(text) if text.isdigit() else 1


def _check_limit_range(objects: Sequence[Item]) -> Iterator[Problem]:
    for limits in find(objects, "LimitRange"):
        for rule in items(limits.spec, "limits"):
            if rule.get("type") == "Container":
                yield from _check_most(objects, tree(rule, "max"))


def _check_most(objects: Sequence[Item], most: Tree) -> Iterator[Problem]:
    for item in objects:
        for container in item.all_containers:
            for resource, value in most.items():
                allowed = quantity(value)
                if allowed is not None and _asks(container, "limits", resource) > allowed:
                    yield Problem(
                        item.where, f"asks for more {resource} than the LimitRange's {value}"
                    )

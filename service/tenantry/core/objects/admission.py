"""Whether the cluster would let the pods in: Pod Security, quota, limit range.

Argo CD shows none of these as an error: the tenant stays Progressing until its deadline, and the
cause stands in an event. So it is found out before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tenantry.core.objects.item import Item, Tree, find, items, quantity, texts, tree
from tenantry.core.objects.quota import check_quota
from tenantry.core.problem import Problem

LEVEL = "pod-security.kubernetes.io/enforce"

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
    return [*problems, *check_quota(objects), *_check_limit_range(objects)]


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
                asked = quantity(tree(container, "resources", "limits").get(resource))
                if allowed is not None and asked is not None and asked > allowed:
                    yield Problem(
                        item.where, f"asks for more {resource} than the LimitRange's {value}"
                    )

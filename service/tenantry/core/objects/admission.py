"""Whether the cluster would let the pods in: Pod Security, quota, limit range.

Argo CD shows none of these as an error: the tenant stays Progressing until its deadline, and the
cause stands in an event. So it is found out before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tenantry.core.objects.item import Item, Tree, find, items, quantity, tree
from tenantry.core.objects.pod_security import check_baseline, check_restricted
from tenantry.core.objects.quota import check_quota
from tenantry.core.problem import Problem

LEVEL = "pod-security.kubernetes.io/enforce"


def check_admission(objects: Sequence[Item]) -> list[Problem]:
    """Pods that Pod Security, the quota or the limit range would refuse."""
    levels = {str(item.labels.get(LEVEL)) for item in find(objects, "Namespace")}
    problems: list[Problem] = []
    if not levels <= {"restricted", "baseline"}:
        problems.append(Problem("Namespace", f"has no Pod Security level: {LEVEL}"))
    for item in objects:
        problems += check_baseline(item)
        if "restricted" in levels:
            problems += check_restricted(item)
    return [*problems, *check_quota(objects), *_check_limit_range(objects)]


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

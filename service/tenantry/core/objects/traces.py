"""What an object says that only one cluster, or one tenant, can mean: it was copied from there.

All tenants of a class have the same objects. The first would take the address or the volume, and
each further one wait for it; a finalizer that nothing removes keeps a namespace for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tenantry.core.objects.item import Item, find, tree
from tenantry.core.problem import Problem

_OF_ONE_CLUSTER = ("finalizers", "generateName", "ownerReferences", "resourceVersion", "uid")


def check_traces(objects: Sequence[Item]) -> Iterator[Problem]:
    """Fields that were copied from a cluster and would do harm in another one."""
    for item in objects:
        copied = [name for name in _OF_ONE_CLUSTER if tree(item.body, "metadata").get(name)]
        if copied:
            yield _copied(item, f"metadata.{', '.join(copied)}")
    for item in find(objects, "Service"):
        if item.spec.get("clusterIP") not in (None, "", "None") or item.spec.get("clusterIPs"):
            yield _copied(item, "an address of a cluster, clusterIP")
    for item in find(objects, "PersistentVolumeClaim"):
        if item.spec.get("volumeName"):
            yield _copied(item, "one volume, volumeName, which only one tenant could have")


def _copied(item: Item, what: str) -> Problem:
    return Problem(item.where, f"names {what}", "leave out what a cluster fills in")

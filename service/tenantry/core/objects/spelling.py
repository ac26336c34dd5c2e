"""What must be text, and what must be an amount: YAML makes numbers and booleans of plain words.

The API server refuses an object for it as a whole, and Argo CD then applies nothing of the tenant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tenantry.core.objects.item import Item, Tree, items, quantity, tree
from tenantry.core.problem import Problem


def check_spelling(objects: Sequence[Item]) -> Iterator[Problem]:
    """Values that are not of the type that Kubernetes reads."""
    for item in objects:
        for place, found in _mappings_of_texts(item):
            yield from _check_texts(item, place, found)
        replicas = item.spec.get("replicas", 1)
        if not isinstance(replicas, int) or replicas < 0:
            yield Problem(item.where, f"replicas: {replicas!r} is no number of pods")
        for container in item.all_containers:
            for resources in ("requests", "limits"):
                yield from _check_amounts(item, container, resources)


def _mappings_of_texts(item: Item) -> Iterator[tuple[str, Tree]]:
    for name in ("labels", "annotations"):
        yield name, tree(item.body, "metadata", name)
        yield f"{name} of its pods", tree(item.template, "metadata", name)
    if item.kind == "ConfigMap":
        yield "data", tree(item.body, "data")
    if item.kind == "Service":
        yield "selector", tree(item.spec, "selector")
    yield "nodeSelector", tree(item.pod, "nodeSelector")
    for container in item.all_containers:
        variables = items(container, "env")
        yield "env", {str(each.get("name")): each.get("value") for each in variables}


def _check_texts(item: Item, place: str, found: Tree) -> Iterator[Problem]:
    for key, value in found.items():
        if value is not None and not isinstance(value, str):
            yield Problem(item.where, f"{place}: {key} is {_shown(value)}, no text", "quote it")


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool | int | float) else "a tree"


def _check_amounts(item: Item, container: Tree, kind: str) -> Iterator[Problem]:
    where = f"container {container.get('name')!r}: {kind}"
    for resource, value in tree(container, "resources", kind).items():
        amount = quantity(value)
        if amount is None:
            yield Problem(
                item.where, f"{where}.{resource}: {value!r} is no quantity", "such as 250m, 128Mi"
            )
        elif resource == "memory" and amount != int(amount):
            yield Problem(
                item.where, f"{where}.memory: {value} is less than a byte", "m is thousandths: Mi"
            )

"""What a tenant's pods and objects take up of its ResourceQuota, at the worst moment.

Argo CD shows a quota that is exceeded as no error: the tenant stays Progressing until its deadline,
and the cause stands in an event. So it is found out before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tenantry.core.objects.item import Item, Tree, find, items, quantity, tree
from tenantry.core.problem import Problem

# What comes beside the tenant's own objects while cert-manager answers an ACME challenge: a pod, a
# Service (a NodePort, unless the issuer says otherwise), an Ingress, and the next private key.
SOLVER = {
    "pods": Decimal(1),
    "requests.cpu": Decimal("0.01"),
    "requests.memory": Decimal(64 * 2**20),
    "limits.cpu": Decimal("0.1"),
    "limits.memory": Decimal(64 * 2**20),
    "services": Decimal(1),
    "services.nodeports": Decimal(1),
    "ingresses.networking.k8s.io": Decimal(1),
    "secrets": Decimal(2),  # with the certificate itself
}
_COMPUTE = [(kind, resource) for kind in ("requests", "limits") for resource in ("cpu", "memory")]
_ALIASES = {"cpu": "requests.cpu", "memory": "requests.memory"}


@dataclass(frozen=True)
class Defaults:
    """What LimitRanges give to a container that does not say: resource -> quantity."""

    requests: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, objects: Sequence[Item]) -> Defaults:
        """As the API server reads them: a missing default is the most that is allowed, a missing
        default request is the default.
        """
        found = cls()
        for limit_range in find(objects, "LimitRange"):
            for rule in items(limit_range.spec, "limits"):
                if rule.get("type") == "Container":
                    limits = {**tree(rule, "max"), **tree(rule, "default")}
                    found.limits.update(limits)
                    found.requests.update(
                        {**tree(rule, "min"), **limits, **tree(rule, "defaultRequest")}
                    )
        return found

    def ask(self, container: Tree, kind: str, resource: str) -> Decimal | None:
        """What a container counts for; None where nobody says. A limit is a request, too."""
        limits = tree(container, "resources", "limits")
        if kind == "limits":
            found = {**self.limits, **limits}
        else:
            found = {**self.requests, **limits, **tree(container, "resources", "requests")}
        return quantity(found[resource]) if resource in found else None


def measure(objects: Sequence[Item]) -> dict[str, tuple[Any, Decimal | None]]:
    """What each quota allows of a resource, and what the overlay needs of it; None where nothing
    is known of that.
    """
    used = sum_use(objects, Defaults.of(objects))
    return {
        name: (value, need(name, used))
        for item in find(objects, "ResourceQuota")
        for name, value in tree(item.spec, "hard").items()
    }


def check_quota(objects: Sequence[Item]) -> Iterator[Problem]:
    """Quotas that the overlay exceeds, and containers that a quota would keep out."""
    defaults = Defaults.of(objects)
    used = sum_use(objects, defaults)
    for item in find(objects, "ResourceQuota"):
        for name, value in tree(item.spec, "hard").items():
            yield from _check_hard(item, name, value, used)
        hard = {_ALIASES.get(name, name) for name in tree(item.spec, "hard")}
        for workload in objects:
            yield from _check_silent(workload, defaults, hard)


def need(name: str, used: Mapping[str, Decimal]) -> Decimal | None:
    """What is used of that which a quota calls `name`; None where nothing is known of it."""
    return used.get(_ALIASES.get(name, name.removeprefix("count/")))


def _check_hard(
    item: Item, name: str, value: Any, used: Mapping[str, Decimal]
) -> Iterator[Problem]:
    hard, needed = quantity(value), need(name, used)
    if hard is None:
        yield Problem(item.where, f"{name}: {value!r} is no quantity")
    elif needed is not None and needed > hard:
        yield Problem(
            item.where,
            f"{name} is {value}, and the overlay needs {needed.normalize():f}",
            "rollout surge and what solves an ACME challenge count",
        )


def _check_silent(item: Item, defaults: Defaults, hard: set[str]) -> Iterator[Problem]:
    for container in item.all_containers:
        for kind, resource in _COMPUTE:
            name = f"{kind}.{resource}"
            if name in hard and defaults.ask(container, kind, resource) is None:
                yield Problem(
                    item.where,
                    f"container {container.get('name')!r} would be refused: it says no {name}",
                    "the quota counts it; a LimitRange may give a default",
                )


def sum_use(objects: Sequence[Item], defaults: Defaults) -> dict[str, Decimal]:
    """What everything takes up, by the names that quotas have for it, without `count/`."""
    used = use_of_solver(objects)
    for item in objects:
        for name, amount in _uses(item, defaults):
            used[name] = used.get(name, Decimal(0)) + amount
    return used


def use_of_solver(objects: Sequence[Item]) -> dict[str, Decimal]:
    """What cert-manager adds, where it is asked for a certificate."""
    return dict(SOLVER) if any(map(_wants_certificate, objects)) else {}


def _wants_certificate(item: Item) -> bool:
    return item.kind == "Ingress" and any(
        name.startswith("cert-manager.io/") for name in item.annotations
    )


def _uses(item: Item, defaults: Defaults) -> Iterator[tuple[str, Decimal]]:
    yield _plural(item), Decimal(1)
    if item.kind == "SealedSecret":
        yield "secrets", Decimal(1)
    if item.kind == "PersistentVolumeClaim":
        size = tree(item.spec, "resources", "requests").get("storage")
        yield "requests.storage", quantity(size) or Decimal(0)
    pods = _most_pods(item)
    for name, amount in use_of_pod(item, defaults).items():
        yield name, pods * amount


def _plural(item: Item) -> str:
    """The resource's name, such as `services` or `deployments.apps`."""
    name = item.kind.lower()
    plural = f"{name[:-1]}ies" if name.endswith("y") else name + ("es" if name[-1:] == "s" else "s")
    return f"{plural}.{item.group}" if item.group else plural


def use_of_pod(item: Item, defaults: Defaults) -> dict[str, Decimal]:
    """What one pod of a workload takes up."""
    asks = {
        f"{kind}.{resource}": _pod_asks(item, defaults, kind, resource)
        for kind, resource in _COMPUTE
    }
    return {"pods": Decimal(1), **asks}


def _pod_asks(item: Item, defaults: Defaults, kind: str, resource: str) -> Decimal:
    """A pod asks for the sum of its containers, or for its greediest init container."""

    def ask(container: Tree) -> Decimal:
        return defaults.ask(container, kind, resource) or Decimal(0)

    return max(sum(map(ask, item.containers), Decimal(0)), *map(ask, item.starters), Decimal(0))


def _most_pods(item: Item) -> int:
    """Pods that exist at once at the worst moment of a rollout."""
    more, _ = rolling(item)
    return item.replicas + more if item.pod and item.replicas else 0


def rolling(item: Item) -> tuple[int, int]:
    """How many pods more than wanted there are while a workload's pods are replaced, and how many
    of them may be missing then, as its controller reckons.
    """
    if item.kind == "StatefulSet":
        return 0, 1
    strategy = tree(item.spec, "strategy")
    if item.kind != "Deployment" or strategy.get("type") == "Recreate":
        return 0, item.replicas
    said = tree(strategy, "rollingUpdate")
    more = _share(said.get("maxSurge", "25%"), item.replicas, math.ceil)
    fewer = _share(said.get("maxUnavailable", "25%"), item.replicas, math.floor)
    return more, fewer or int(not more)  # with neither, nothing could ever be replaced


def _share(value: Any, replicas: int, whole: Callable[[float], int]) -> int:
    text = str(value)
    if text.endswith("%") and text[:-1].isdigit():
        return whole(replicas * int(text[:-1]) / 100)
    return int(text) if text.isdigit() else 1

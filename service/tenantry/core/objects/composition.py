"""What an overlay's objects amount to: workloads and what they ask for, volumes, routes.

For people who want to see a platform as a whole; whether it is legal is `core.objects.checks`'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tenantry.core.objects.item import WORKLOADS, Item, find, paths, quantity, tree


@dataclass(frozen=True)
class Workload:
    """What makes pods. `cpu` (cores) and `memory` (bytes) are what one pod's containers request."""

    kind: str
    name: str
    images: tuple[str, ...]  # of the containers that run side by side
    pods: int
    cpu: Decimal
    memory: Decimal


@dataclass(frozen=True)
class Composition:
    """One tenant's objects, seen as a whole."""

    workloads: Sequence[Workload]  # by name
    volumes: Mapping[str, str]  # claim -> size
    routes: Mapping[str, str]  # path of the instance's URL -> service:port
    is_protected: bool  # whether Argo CD would keep the volumes whatever happens to the rest

    @property
    def pods(self) -> int:
        return sum(each.pods for each in self.workloads)

    @property
    def cpu(self) -> Decimal:
        """Cores that all pods request."""
        return sum((each.pods * each.cpu for each in self.workloads), Decimal(0))

    @property
    def memory(self) -> Decimal:
        """Bytes that all pods request."""
        return sum((each.pods * each.memory for each in self.workloads), Decimal(0))


def compose(objects: Sequence[Mapping[str, Any]]) -> Composition:
    """What these objects amount to."""
    built = [Item(body) for body in objects]
    claims = list(find(built, "PersistentVolumeClaim"))
    return Composition(
        workloads=sorted(
            (_workload(item) for item in built if item.kind in WORKLOADS),
            key=lambda each: each.name,
        ),
        volumes={
            claim.name: str(tree(claim.spec, "resources", "requests").get("storage"))
            for claim in claims
        },
        routes=dict(_route(path) for item in find(built, "Ingress") for path in paths(item)),
        is_protected=all("Delete=false" in claim.sync_options for claim in claims),
    )


def _workload(item: Item) -> Workload:
    requests = [tree(container, "resources", "requests") for container in item.containers]

    def total(resource: str) -> Decimal:
        asked = (quantity(each.get(resource)) for each in requests)
        return sum((each for each in asked if each is not None), Decimal(0))

    images = tuple(str(container.get("image")) for container in item.containers)
    return Workload(item.kind, item.name, images, _pods(item), total("cpu"), total("memory"))


def _pods(item: Item) -> int:
    """How many run at all times; what a CronJob starts comes and goes."""
    return 0 if item.kind == "CronJob" else item.replicas


def _route(path: Mapping[str, Any]) -> tuple[str, str]:
    service = tree(path, "backend", "service")
    port = tree(service, "port")
    return str(path.get("path")), f"{service.get('name')}:{port.get('number', port.get('name'))}"

"""Kubernetes objects as built: what a check needs to ask of them, and nothing more.

Everything here reads untrusted trees: a missing or misshapen part reads as empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

Tree = Mapping[str, Any]
SYNC_OPTIONS = "argocd.argoproj.io/sync-options"

_SUFFIXES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {f"{letter}i": 2 ** (10 * power) for power, letter in enumerate("KMGTPE", start=1)}
_FACTORS = {
    **{suffix: Decimal(10) ** power for suffix, power in _SUFFIXES.items()},
    **{suffix: Decimal(factor) for suffix, factor in _BINARY.items()},
}
# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_QUANTITY = re.compile(
    r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE]([+-]?[0-9]{1,2})|([numkMGTPE]|[KMGTPE]i)?)"
)


def tree(value: Any, *path: str) -> Tree:
    """The mapping at `path` within `value`; empty where there is none."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def items(value: Any, *path: str) -> list[Tree]:
    """The mappings of the list at `path` within `value`; empty where there is none."""
    parent = tree(value, *path[:-1])
    found = parent.get(path[-1])
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def texts(value: Any) -> list[str]:
    """The texts of a list; empty where it is none."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def quantity(value: Any) -> Decimal | None:
    """A Kubernetes quantity (`250m`, `1Gi`, 2) as a number; None where it is none."""
    match = _QUANTITY.fullmatch(str(value))
    if match is None or isinstance(value, bool):
        return None
    factor = Decimal(10) ** int(match[2]) if match[2] else _FACTORS[match[3] or ""]
    return Decimal(match[1]) * factor


@dataclass(frozen=True)
class Item:
    """One object of an overlay."""

    body: Tree

    @property
    def kind(self) -> str:
        return str(self.body.get("kind", ""))

    @property
    def group(self) -> str:
        group, slash, _ = str(self.body.get("apiVersion", "")).partition("/")
        return group if slash else ""

    @property
    def version(self) -> str:
        """The API's version without its group, such as `v1`."""
        return str(self.body.get("apiVersion", "")).rpartition("/")[2]

    @property
    def name(self) -> str:
        return str(tree(self.body, "metadata").get("name", ""))

    @property
    def namespace(self) -> str | None:
        found = tree(self.body, "metadata").get("namespace")
        return None if found is None else str(found)

    @property
    def where(self) -> str:
        """How a message names it."""
        return f"{self.kind or 'object'}/{self.name or '?'}"

    @property
    def labels(self) -> Tree:
        return tree(self.body, "metadata", "labels")

    @property
    def annotations(self) -> Tree:
        return tree(self.body, "metadata", "annotations")

    @property
    def sync_options(self) -> set[str]:
        """What Argo CD is told about applying and deleting it, such as `Prune=false`."""
        return set(str(self.annotations.get(SYNC_OPTIONS, "")).split(","))

    @property
    def spec(self) -> Tree:
        return tree(self.body, "spec")

    @cached_property
    def template(self) -> Tree:
        """The pod template of a workload; empty for anything else."""
        if self.kind == "CronJob":
            return tree(self.spec, "jobTemplate", "spec", "template")
        return tree(self.spec, "template") if self.kind in WORKLOADS else {}

    @property
    def pod(self) -> Tree:
        return tree(self.template, "spec")

    @property
    def starters(self) -> list[Tree]:
        """Init containers that end before the others start."""
        return [one for one in items(self.pod, "initContainers") if not _goes_on(one)]

    @property
    def containers(self) -> list[Tree]:
        """Containers that run side by side."""
        sidecars = [one for one in items(self.pod, "initContainers") if _goes_on(one)]
        return [*sidecars, *items(self.pod, "containers")]

    @property
    def all_containers(self) -> list[Tree]:
        return [*self.starters, *self.containers]

    @property
    def volumes(self) -> list[Tree]:
        return items(self.pod, "volumes")

    @property
    def replicas(self) -> int:
        """How many pods are wanted; what says nothing wants one."""
        found = self.spec.get("replicas", 1)
        return found if isinstance(found, int) else 1


WORKLOADS = {"Deployment", "StatefulSet", "Job", "CronJob"}


def find(objects: Sequence[Item], kind: str) -> Iterator[Item]:
    """The objects of one kind."""
    return (item for item in objects if item.kind == kind)


def paths(ingress: Item) -> list[Tree]:
    """The paths of all rules of an Ingress."""
    return [path for rule in items(ingress.spec, "rules") for path in items(rule, "http", "paths")]


def container_ports(item: Item) -> tuple[set[int], set[str]]:
    """Numbers and names of the ports that a workload's containers have."""
    ports = [port for container in item.containers for port in items(container, "ports")]
    numbers = {
        port["containerPort"] for port in ports if isinstance(port.get("containerPort"), int)
    }
    return numbers, {str(port["name"]) for port in ports if "name" in port}


def has_port(item: Item, port: Any) -> bool:
    """Whether a workload's containers have the port, given by number or name."""
    numbers, names = container_ports(item)
    return port in numbers if isinstance(port, int) else str(port) in names


def _goes_on(init_container: Tree) -> bool:
    """Whether an init container is a sidecar: it starts first, and runs beside the others."""
    return init_container.get("restartPolicy") == "Always"

"""What a cluster holds of one namespace: objects, opened Secrets, and the pods that run."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tenantry.devcluster import quota
from tenantry.devcluster.clock import stamp_now
from tenantry.devcluster.kinds import Key
from tenantry.devcluster.sealing import Opened

Manifest = Mapping[str, Any]


@dataclass
class Live:
    """An object as the cluster has it."""

    manifest: Manifest
    owner: str  # the Application that applied it
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: str = field(default_factory=stamp_now)
    version: int = 0
    opened: Opened | None = None  # of a SealedSecret


@dataclass(frozen=True)
class Pods:
    """The running pods of one workload, and what they read when they started."""

    digest: str
    count: int
    needs: quota.Amounts
    values: Mapping[tuple[str, str], str] = field(repr=False)


@dataclass(frozen=True)
class Rollout:
    """New pods that do not come up."""

    digest: str
    since: float  # monotonic
    reason: str
    created: bool  # whether the pods exist at all (a quota refuses to create them)


@dataclass
class Namespace:
    """What is in one namespace."""

    objects: dict[Key, Live] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    pods: dict[Key, Pods] = field(default_factory=dict)
    rollouts: dict[Key, Rollout] = field(default_factory=dict)
    bound: set[str] = field(default_factory=set)  # claims

    def manifests(self) -> dict[Key, Manifest]:
        """The objects, without what only the cluster knows of them."""
        return {key: live.manifest for key, live in self.objects.items()}

    def of_kind(self, kind: str) -> list[Manifest]:
        """The objects of one kind."""
        return [live.manifest for key, live in self.objects.items() if key.kind == kind]

"""Whether a tenant's objects may become those of another platform version.

The API server changes some fields of an object once and never again. What a new version has
otherwise there would fail each tenant's sync, so it is found before a tenant is moved: the objects
of the same tenant, built of both versions, are compared.

Only kinds that a tenant may have (`checks`) are here. Where an object says nothing, the API
server's default stands for it. Sources: Kubernetes' own validation (pkg/apis/*/validation) and API
reference, sealed-secrets' README.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tenantry.core.objects.item import SYNC_OPTIONS, Item, Tree, items, quantity, tree

HOOK = "argocd.argoproj.io/hook"

Key = tuple[str, str, str]  # API group, kind, name


@dataclass(frozen=True)
class Obstacle:
    """Why a tenant cannot go from one version to the other; `old` and `new` as in the objects."""

    where: str  # kind/name
    field: str
    old: Any
    new: Any
    reason: str
    remedy: str

    def __str__(self) -> str:
        change = f"{_show(self.old)} → {_show(self.new)}"
        return f"{self.where}: {self.field}: {change}: {self.reason} ({self.remedy})"


@dataclass(frozen=True)
class _Fixed:
    """Fields of a kind that stay what they were when the object was made: path -> default."""

    fields: Mapping[str, Any]
    remedy: str
    reason: str = "is fixed once the object is there"


_ANOTHER_NAME = "keep it, or give the object another name"
_FIXED: Mapping[tuple[str, str], _Fixed] = {
    ("apps", "Deployment"): _Fixed(
        {"spec.selector": None},
        "keep the selector (pods may get further labels), or give the Deployment another name",
    ),
    ("apps", "StatefulSet"): _Fixed(
        {
            "spec.selector": None,
            "spec.serviceName": None,
            "spec.podManagementPolicy": "OrderedReady",
            "spec.volumeClaimTemplates": None,
        },
        "keep it; under another name it starts with empty volumes",
    ),
    ("", "PersistentVolumeClaim"): _Fixed(
        {
            "spec.storageClassName": None,  # then the cluster's, which is filled in
            "spec.accessModes": None,
            "spec.volumeMode": "Filesystem",
            "spec.volumeName": None,
            "spec.selector": None,
            "spec.dataSource": None,
            "spec.dataSourceRef": None,
        },
        "keep it; a claim of another name starts empty, so data must be moved",
    ),
    ("batch", "Job"): _Fixed(
        {
            "spec.selector": None,
            "spec.template": None,
            "spec.completions": 1,
            "spec.completionMode": "NonIndexed",
            "spec.podFailurePolicy": None,
            "spec.successPolicy": None,
            "spec.backoffLimitPerIndex": None,
            "spec.managedBy": None,
        },
        "give the Job another name, such as one with the version in it, or have Argo CD replace it "
        f"({SYNC_OPTIONS}: Force=true,Replace=true)",
    ),
    ("", "Service"): _Fixed({"spec.loadBalancerClass": None}, _ANOTHER_NAME),
    ("", "ResourceQuota"): _Fixed({"spec.scopes": None}, _ANOTHER_NAME),
    ("bitnami.com", "SealedSecret"): _Fixed(
        {"spec.template.type": "Opaque"},
        "keep the type",
        "is the Secret's type, which is fixed once it is there",
    ),
}
_CONTENT = _Fixed(
    {"data": None, "binaryData": None, "immutable": None},
    "give it another name, as configMapGenerator does by its content",
    "is fixed, since the object says `immutable: true`",
)


def find_obstacles(
    old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]
) -> list[Obstacle]:
    """Everything that keeps a tenant with the objects `old` from getting the objects `new`."""
    after = by_key(new)
    found: list[Obstacle] = []
    for key, before in by_key(old).items():
        if key in after:
            found += _compare(before, after[key])
        else:
            found += _look_for_data(before)
    return found


def by_key(objects: Sequence[Mapping[str, Any]]) -> dict[Key, Item]:
    """Objects by what names them, in that order; of their API's versions there is no word."""
    found = {(item.group, item.kind, item.name): item for item in map(Item, objects)}
    return dict(sorted(found.items()))


def _compare(old: Item, new: Item) -> Iterator[Obstacle]:
    fixed = _FIXED.get((old.group, old.kind))
    if fixed and not _is_replaced(new):
        yield from _compare_fixed(old, new, fixed)
    if old.kind == "ConfigMap" and old.body.get("immutable") is True:
        yield from _compare_fixed(old, new, _CONTENT)
    if old.kind == "PersistentVolumeClaim":
        yield from _compare_sizes(old, new)
    if old.kind == "Service":
        yield from _compare_addresses(old, new)
    if old.kind == "Deployment":
        yield from _compare_strategies(old, new)


def _compare_fixed(old: Item, new: Item, fixed: _Fixed) -> Iterator[Obstacle]:
    for field, default in fixed.fields.items():
        before, after = (_at(item.body, field, default) for item in (old, new))
        if before != after:
            yield Obstacle(old.where, field, before, after, fixed.reason, fixed.remedy)


def _compare_sizes(old: Item, new: Item) -> Iterator[Obstacle]:
    field = "spec.resources.requests.storage"
    before, after = (_at(item.body, field, None) for item in (old, new))
    sizes = quantity(before), quantity(after)
    if sizes[0] is not None and (sizes[1] is None or sizes[1] < sizes[0]):
        yield Obstacle(
            old.where, field, before, after, "no volume can shrink", "keep the size, or raise it"
        )


def _compare_addresses(old: Item, new: Item) -> Iterator[Obstacle]:
    """A Service has an address of its own or none (`None`: headless). Taking `None` out is not even
    refused: it just stays.
    """
    field = "spec.clusterIP"
    before, after = (_at(item.body, field, None) for item in (old, new))
    is_external = "ExternalName" in (old.spec.get("type"), new.spec.get("type"))
    if before != after and not is_external:
        reason = "whether a Service has an address of its own is fixed once it is there"
        yield Obstacle(old.where, field, before, after, reason, _ANOTHER_NAME)


def _compare_strategies(old: Item, new: Item) -> Iterator[Obstacle]:
    """The API server fills `rollingUpdate` in where nobody says how to roll, and an apply that does
    not name it leaves it there (kubernetes/kubernetes#24198).
    """
    field = "spec.strategy.type"
    before, after = (_at(item.body, field, "RollingUpdate") for item in (old, new))
    if (before, after) == ("RollingUpdate", "Recreate"):
        reason = "`rollingUpdate` was filled in by the API server, and Recreate forbids it"
        remedy = "keep RollingUpdate, or give the Deployment another name"
        yield Obstacle(old.where, field, before, after, reason, remedy)


def _look_for_data(old: Item) -> Iterator[Obstacle]:
    """What vanishes is pruned, but for what holds data: that stays, and is in nobody's care."""
    if old.kind == "PersistentVolumeClaim":
        reason = "its protection keeps it, so Argo CD would call each tenant OutOfSync for good"
        remedy = "keep the claim, even where nothing mounts it any more"
        yield Obstacle(old.where, "metadata.name", old.name, None, reason, remedy)
    if old.kind == "StatefulSet" and items(old.spec, "volumeClaimTemplates"):
        reason = "the claims that it made stay behind, with data that nothing mounts"
        remedy = "keep it, if need be with no replicas"
        yield Obstacle(old.where, "metadata.name", old.name, None, reason, remedy)


def _is_replaced(item: Item) -> bool:
    """Whether Argo CD makes a Job anew instead of changing it. Of what holds data, nobody wants
    that.
    """
    is_hook = HOOK in item.annotations
    return item.kind == "Job" and (is_hook or {"Force=true", "Replace=true"} <= item.sync_options)


def _at(body: Tree, field: str, default: Any) -> Any:
    *path, name = field.split(".")
    found = tree(body, *path).get(name)
    return default if found is None else found


def _show(value: Any) -> str:
    text = str(value) if value is not None else "nothing"
    return text if len(text) <= 120 else f"{text[:119]}…"

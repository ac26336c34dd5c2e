"""What a workload needs in order to start: Secrets, ConfigMaps and claims, as its pods name them.

References that are marked as optional are left out: a pod starts without them.
"""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.core.objects.item import Item, Tree, items, tree

Reference = tuple[str, str | None]  # name, key; no key: the whole of it


def secret_keys_read(item: Item) -> Iterator[Reference]:
    """Secrets, those that images are pulled with among them."""
    yield from _read(item, "secret", name_in_volume="secretName")
    for reference in items(item.pod, "imagePullSecrets"):
        yield str(reference.get("name")), None


def config_keys_read(item: Item) -> Iterator[Reference]:
    """ConfigMaps."""
    yield from _read(item, "configMap", name_in_volume="name")


def claims_used(item: Item) -> Iterator[str]:
    """PersistentVolumeClaims."""
    for volume in item.volumes:
        if claim := tree(volume, "persistentVolumeClaim").get("claimName"):
            yield str(claim)


def _read(item: Item, kind: str, *, name_in_volume: str) -> Iterator[Reference]:
    for container in item.all_containers:
        for variable in items(container, "env"):
            yield from _reference(tree(variable, "valueFrom", f"{kind}KeyRef"))
        for source in items(container, "envFrom"):
            yield from _reference(tree(source, f"{kind}Ref"))
    for volume in item.volumes:
        yield from _volume_reads(tree(volume, kind), name_in_volume)
        for source in items(volume, "projected", "sources"):
            yield from _volume_reads(tree(source, kind), "name")


def _reference(reference: Tree) -> Iterator[Reference]:
    if reference and reference.get("optional") is not True:
        key = reference.get("key")
        yield str(reference.get("name")), None if key is None else str(key)


def _volume_reads(source: Tree, name: str) -> Iterator[Reference]:
    if not source or source.get("optional") is True:
        return
    wanted = items(source, "items")
    if not wanted:
        yield str(source.get(name)), None
    for item in wanted:
        yield str(source.get(name)), str(item.get("key"))

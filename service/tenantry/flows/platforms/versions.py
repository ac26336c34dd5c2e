"""The platform versions of a cell: what main has, what is recorded, who runs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tenantry.core import naming
from tenantry.core.errors import ChangeRefused
from tenantry.flows import platform_records
from tenantry.flows.platforms import usage
from tenantry.flows.publishing import history
from tenantry.flows.service import Cell, Service


@dataclass(frozen=True)
class Version:
    """One version, as main has it and as the database knows it."""

    version: str
    is_on_main: bool
    is_current: bool  # new tenants get it
    tree: str | None  # that it stands for; None: not recorded yet
    commit: str | None
    published_at: datetime | None
    removed_at: datetime | None
    tenants: Mapping[str, int]  # by plan
    fault: str  # why its tenants cannot be published
    differs: str  # how the product's folder is not what it stands for


def list_versions(service: Service, cell: Cell) -> list[Version]:
    """Every version that main has, that it had, that tenants run, or that new ones would get.
    HistoryRewritten, RepositoryError.
    """
    current, tree = service.product.platform, service.platform_tree
    _, head = history.fetch(service, cell)
    book, tenants = platform_records.read(service, cell), usage.count_tenants(service, cell)
    names = sorted({*usage.folders(cell, head), *book, *tenants, current})
    places = {name: naming.platform_folder(name) for name in names}
    found = cell.repository.trees_at(head, places.values())
    standing = {name: found[path] for name, path in places.items()}
    return [
        Version(
            version=name,
            is_on_main=standing[name] is not None,
            is_current=name == current,
            tree=known.tree if (known := book.get(name)) else None,
            commit=known.commit if known else None,
            published_at=known.published_at if known else None,
            removed_at=known.removed_at if known else None,
            tenants=tenants.get(name, {}),
            fault=_fault(service, book, name, standing[name]),
            differs=platform_records.find_change(name, tree, known) if name == current else "",
        )
        for name in names
    ]


def _fault(
    service: Service, book: platform_records.Book, version: str, standing: str | None
) -> str:
    """None of a version that was taken away, and of which nobody speaks any more."""
    known = book.get(version)
    is_gone = standing is None and known is not None and known.removed_at is not None
    return "" if is_gone else platform_records.find_fault(service, book, version, standing)


def require_usable(service: Service, cell: Cell, version: str) -> None:
    """ChangeRefused where no tenant can run the version; else as `list_versions`."""
    known = {each.version: each for each in list_versions(service, cell)}.get(version)
    if known is None or not (known.is_on_main or known.is_current):
        raise ChangeRefused(
            f"cell {cell.name} has no platform {version}", remedy="see `tenantry platform list`"
        )
    if known.fault:
        raise ChangeRefused(known.fault)

"""Every overlay that ships, of each product, plan and state, built by the real Kustomize: once in a
process, so nobody may change what is returned.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from tenantry import assets
from tenantry.adapters.kustomize import Kustomize
from tenantry.adapters.product_folder import ProductFolder, read_product_folder
from tenantry.core import naming
from tenantry.core.model import State, TenantSpec
from tenantry.core.objects.checks import Expected, check_objects
from tenantry.core.objects.item import Item, find
from tenantry.core.overlay import made_up, render
from tenantry.core.product import Product
from tests.overlays import CELL, ciphertext
from tests.programs import require

TEMPLATES = assets.path("tenant_templates")
EXAMPLES = sorted(path.parent for path in TEMPLATES.parent.glob("examples/*/product.yaml"))


@cache
def vendor(folder: Path = TEMPLATES) -> ProductFolder:
    """A product's folder as the service reads it."""
    return read_product_folder(folder)


@dataclass(frozen=True)
class Built:
    """The objects of one class of tenants."""

    folder: Path
    plan: str
    state: State

    def __str__(self) -> str:
        return f"{self.folder.name}-{self.plan}-{self.state.value}"

    @property
    def product(self) -> Product:
        return vendor(self.folder).product

    @property
    def tenant(self) -> TenantSpec:
        return made_up(self.product, self.plan, self.state, platform=self.product.platform)

    @property
    def objects(self) -> list[dict[str, Any]]:
        return _build(self)

    @cached_property
    def items(self) -> list[Item]:
        return [Item(body) for body in self.objects]

    @property
    def workloads(self) -> list[Item]:
        return [item for item in self.items if item.pod]

    def of_kind(self, kind: str) -> list[Item]:
        return list(find(self.items, kind))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        (found,) = (item.body for item in self.of_kind(kind) if item.name == name)
        return dict(found)

    @property
    def problems(self) -> list[str]:
        return check(self.tenant, self.objects, self.product)


def classes(*folders: Path) -> list[Built]:
    """Each plan in each state of the products; all that ship, without an argument."""
    return [
        Built(folder, plan, state)
        for folder in folders or (TEMPLATES, *EXAMPLES)
        for plan in vendor(folder).product.plans
        for state in State
    ]


def check(
    tenant: TenantSpec, objects: list[dict[str, Any]], product: Product | None = None
) -> list[str]:
    """The problems of a tenant's objects."""
    product = product or vendor().product
    expected = Expected.of(tenant, product)
    return [str(each) for each in check_objects(objects, expected=expected, product=product)]


def build(
    tenant: TenantSpec,
    *,
    folder: Path = TEMPLATES,
    platform: Mapping[str, bytes] | None = None,
    cell: Any = CELL,
) -> list[dict[str, Any]]:
    """The objects of a tenant, on the platform that ships or another one."""
    files = dict(_files(tenant, vendor(folder), platform, cell))
    with tempfile.TemporaryDirectory(prefix="tenantry-built-") as place:
        for path, content in files.items():
            (Path(place) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(place) / path).write_bytes(content)
        root = Path(place)
        return Kustomize(require("kustomize")).build(root / naming.folder(tenant.name), root=root)


def _files(
    tenant: TenantSpec, shipped: ProductFolder, platform: Mapping[str, bytes] | None, cell: Any
) -> Iterator[tuple[str, bytes]]:
    for path, content in (shipped.platform if platform is None else platform).items():
        yield f"{naming.platform_folder(tenant.platform)}/{path}", content
    rendered = render(
        tenant,
        {key: ciphertext(key) for key in shipped.product.sealed_keys},
        product=shipped.product,
        templates=shipped.templates,
        cell=cell,
        has_local=False,
    )
    for path, content in rendered.items():
        yield f"{naming.folder(tenant.name)}/{path}", content


@cache
def _build(one: Built) -> list[dict[str, Any]]:
    return build(one.tenant, folder=one.folder)

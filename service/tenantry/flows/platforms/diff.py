"""What a tenant of one platform version would be with another: its objects, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tenantry.core.errors import PlatformRefused
from tenantry.core.model import State
from tenantry.core.objects.diff import Difference, diff_objects
from tenantry.core.objects.rollout import find_stalls
from tenantry.core.objects.upgrade import Obstacle, find_obstacles
from tenantry.flows import platform_records
from tenantry.flows.platforms import building
from tenantry.flows.platforms.building import Objects, Platform
from tenantry.flows.publishing import history
from tenantry.flows.service import Cell, Service


@dataclass(frozen=True)
class Diff:
    """What differs, of a made-up tenant of this plan and state, and what keeps it from moving."""

    differences: Sequence[Difference]
    obstacles: Sequence[Obstacle]


def diff(service: Service, cell: Cell, old: str, new: str, plan: str, state: State) -> Diff:
    """From version `old`, as main has it, to `new`: that of the product's folder, where it is that,
    and else as main has it. PlatformRefused where one is not there, or does not build.
    """
    _, head = history.fetch(service, cell)
    book = platform_records.read(service, cell)
    before = building.on_main(cell, book, old, head)
    after = building.of_product(service)
    if new != after.version:
        after = building.on_main(cell, book, new, head) or _refuse_unknown(service, cell, new)
    before = before or _refuse_unknown(service, cell, old)
    ours, theirs = (_build(service, cell, each, plan, state) for each in (before, after))
    obstacles = [*find_obstacles(ours, theirs), *find_stalls(ours, theirs)]
    return Diff(diff_objects(ours, theirs, (old, new)), obstacles)


def _refuse_unknown(service: Service, cell: Cell, version: str) -> Platform:
    message = f"cell {cell.name} has no version {version}; the product's is "
    raise PlatformRefused(
        [message + service.product.platform],
        remedy="`tenantry platform list` shows what there is",
    )


def _build(service: Service, cell: Cell, platform: Platform, plan: str, state: State) -> Objects:
    try:
        return building.build(service, cell, platform, plan, state)
    except PlatformRefused as refusal:
        problems = [f"version {platform.version}: {each}" for each in refusal.problems]
        raise PlatformRefused(problems) from refusal

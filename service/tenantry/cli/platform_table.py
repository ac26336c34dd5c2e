"""A platform as tables: what runs and what it asks for in each plan, what is left in each state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.table import Table

from tenantry.cli.terminal import printable
from tenantry.core.model import State
from tenantry.core.objects.composition import Composition, Workload
from tenantry.flows.platforms.show import Overview

_MEBI = 2**20


def tables(overview: Overview) -> RenderableType:
    """Requests, volumes and states, one below the other."""
    plans = overview.plans
    return Group(_requests(plans), "", _volumes(plans), "", _states(overview.states))


def as_tree(overview: Overview) -> Mapping[str, object]:
    """The same, for programs: cores and bytes as numbers."""
    return {
        "version": overview.version,
        "plans": {plan: _tree(found) for plan, found in overview.plans.items()},
        "states": {state.value: _tree(found) for state, found in overview.states.items()},
    }


def _tree(found: Composition) -> Mapping[str, object]:
    sums = {"pods": found.pods, "cpu": float(found.cpu), "memory": int(found.memory)}
    workloads = [
        {**asdict(each), "cpu": float(each.cpu), "memory": int(each.memory)}
        for each in found.workloads
    ]
    return {**asdict(found), "workloads": workloads, **sums}


def _requests(plans: Mapping[str, Composition]) -> Table:
    table = _table("requests", "image", *plans)
    for name, images in _images(plans).items():
        asked = [_ask(_find(found.workloads, name)) for found in plans.values()]
        short = (image.rpartition("/")[2] for image in images)
        table.add_row(printable(name), printable(", ".join(short)), *asked)
    table.add_row("all", "", *(_amount(found.cpu, found.memory) for found in plans.values()))
    return table


def _volumes(plans: Mapping[str, Composition]) -> Table:
    table = _table("volumes", *plans)
    for name in dict.fromkeys(name for found in plans.values() for name in found.volumes):
        sizes = [found.volumes.get(name, "–") for found in plans.values()]
        table.add_row(printable(name), *map(printable, sizes))
    return table


def _states(states: Mapping[State, Composition]) -> Table:
    table = _table("state", "pods", "volumes", "routes")
    for state, found in states.items():
        routes = [printable(f"{path} → {where}") for path, where in found.routes.items()]
        kept = f"{len(found.volumes)}, {'protected' if found.is_protected else 'not protected'}"
        table.add_row(state.value, str(found.pods), kept, "\n".join(routes) or "none")
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in columns:
        table.add_column(printable(name))
    return table


def _images(plans: Mapping[str, Composition]) -> dict[str, Sequence[str]]:
    """Of each workload that any plan has."""
    return {each.name: each.images for found in plans.values() for each in found.workloads}


def _find(workloads: Sequence[Workload], name: str) -> Workload | None:
    return next((each for each in workloads if each.name == name), None)


def _ask(workload: Workload | None) -> str:
    if workload is None:
        return "–"
    if workload.kind == "CronJob":
        return f"{_amount(workload.cpu, workload.memory)} at times"
    times = f"{workload.pods} × " if workload.pods != 1 else ""
    return f"{times}{_amount(workload.cpu, workload.memory)}"


def _amount(cpu: Decimal, memory: Decimal) -> str:
    return f"{cpu * 1000:.0f}m {memory / _MEBI:.0f}Mi"

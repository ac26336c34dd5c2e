"""What a class of tenants costs to build: Kustomize alone, and with all that is looked at.

A class is built once and its tenants are compared with it, so this is what the first tenant of a
class waits for, and every tenant with changes of its own. Beside it, in the same run: Kustomize on
a folder with one object, which is what starting it costs.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from bench.results import Figure, Result
from bench.stage import Stage
from tenantry.core.model import State
from tenantry.flows.platforms import building
from tenantry.flows.publishing.example import render_example

REACH = 0.3  # seconds to build a tenant
REACH_SIZE = 150  # KiB of its objects
ONE_OBJECT = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"


@dataclass(frozen=True)
class Class:
    """One plan in one state: seconds to build and check it, and bytes of its objects as JSON."""

    plan: str
    state: State
    seconds: float
    size: int


@dataclass(frozen=True)
class Figures:
    """All classes, and what starting Kustomize costs; seconds."""

    classes: Sequence[Class]
    floor: float


def measure(stage: Stage, console: Console, *, tries: int) -> Figures:
    """Every plan in every state of the product, each so many times."""
    service = stage.service
    classes = list(building.of_product(service).classes(service))
    shown = track(classes, description="building", console=console, transient=True)
    floor = _floor(stage, tries)
    return Figures([_measure(stage, plan, state, tries) for plan, state in shown], floor)


def _measure(stage: Stage, plan: str, state: State, tries: int) -> Class:
    service, cell = stage.service, stage.service.new_tenants_cell
    platform = building.of_product(service)
    spec, files = render_example(service, cell, platform.version, plan, state)
    objects = cell.checker.build(spec, files, platform=platform.files)
    seconds = _median(lambda: cell.checker.build(spec, files, platform=platform.files), tries)
    return Class(plan, state, seconds, sum(len(json.dumps(each)) for each in objects))


def _floor(stage: Stage, tries: int) -> float:
    kustomize = stage.service.new_tenants_cell.checker.kustomize
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / "kustomization.yaml").write_text("resources: [one.yaml]\n")
        (root / "one.yaml").write_text(ONE_OBJECT)
        return _median(lambda: kustomize.build(root, root=root), tries)


def _median(action: Callable[[], object], tries: int) -> float:
    times = []
    for _ in range(tries):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def result(found: Figures) -> Result:
    """The slowest and the largest class, and beside what starting Kustomize costs."""
    slowest = max(found.classes, key=lambda each: each.seconds)
    largest = max(found.classes, key=lambda each: each.size)
    size = largest.size / 1024
    figures = [
        Figure(
            f"slowest: {slowest.plan}, {slowest.state}",
            f"{slowest.seconds * 1000:.0f} ms",
            f"< {REACH * 1000:.0f} ms",
            slowest.seconds < REACH,
        ),
        Figure("beside Kustomize on one object", f"{slowest.seconds / found.floor:.1f} ×"),
        Figure(
            f"largest: {largest.plan}, {largest.state}",
            f"{size:.0f} KiB",
            f"< {REACH_SIZE} KiB",
            size < REACH_SIZE,
        ),
    ]
    title = f"building a tenant in full, of {len(found.classes)} plans and states"
    return Result("overlay", title, figures)

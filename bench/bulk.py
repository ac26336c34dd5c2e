"""Changes to many tenants at once, beside two scripts that one could have instead, in the same run.

Rates are of publishing: sealing, rendering, checking, commits, push and record. Marking tenants and
making customers' rows is told beside it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from bench.fleet import import_people
from bench.results import Figure, Result
from bench.scripts import Script, make_script
from bench.stage import Stage, timed
from tenantry.flows.fleet.bulk import Selection
from tenantry.flows.fleet.follow import follow
from tenantry.flows.fleet.reseal import mark_for_resealing

REACH_RATE = 300  # tenants a second, on two cores
REACH_PLAIN = 500  # times the plain script
ROUNDS = 2


@dataclass(frozen=True)
class Bulk:
    """Seconds a tenant. `sample` tenants in each round, `plain_sample` for the plain script."""

    tenants: int
    sample: int
    plain_sample: int
    making: Sequence[float]  # rows of imported customers
    imported: Sequence[float]
    resealed: Sequence[float]
    competent: Sequence[float]
    plain: float


def measure(
    stage: Stage, console: Console, *, tenants: int, sample: int, plain_sample: int
) -> Bulk:
    """With so many tenants in the repository; by turns, so that all have the same weather."""
    stage.grow(tenants, console)
    sample = min(sample, tenants)
    again = stage.tenants * ROUNDS  # each round others, and the same where there are too few
    script = make_script(stage)
    making, imported, resealed, competent = [], [], [], []
    for number in range(ROUNDS):
        console.print(f"bulk, round {number + 1} of {ROUNDS} …")
        rows, published = _import(stage, sample)
        making.append(rows)
        imported.append(published)
        competent.append(timed(lambda: script.competent(sample)) / sample)
        resealed.append(_reseal(stage, again[number * sample : (number + 1) * sample]))
    plain = _plain(script, plain_sample)
    return Bulk(tenants, sample, plain_sample, making, imported, resealed, competent, plain)


def result(found: Bulk) -> Result:
    """Rates, and how often the scripts fit into them."""
    imported, resealed = statistics.mean(found.imported), statistics.mean(found.resealed)
    competent, slower = statistics.mean(found.competent), max(imported, resealed)
    figures = [
        _rate("import", imported),
        _rate("re-seal", resealed),
        Figure("customers' rows of an import", f"{1 / statistics.mean(found.making):.0f}/s"),
        Figure("competent script: git, one commit, one kubeseal", f"{1 / competent:.0f}/s"),
        Figure(
            "the slower of ours beside it",
            f"{competent / slower:.2f} ×",
            "≥ 1 ×",
            slower <= competent,
        ),
        Figure("plain script: GitPython and kubeseal per tenant", f"{1 / found.plain:.2f}/s"),
        Figure(
            "the slower of ours beside it",
            f"{found.plain / slower:.0f} ×",
            f"≥ {REACH_PLAIN} ×",
            found.plain / slower >= REACH_PLAIN,
        ),
    ]
    note = (
        f"{found.sample:,} tenants in each of {len(found.imported)} rounds; the plain script is "
        f"measured on {found.plain_sample} and compared by the tenant."
    )
    return Result(
        "bulk", f"bulk publish, {found.tenants:,} tenants in the repository", figures, [note]
    )


def _rate(what: str, seconds: float) -> Figure:
    rate = 1 / seconds
    measured = f"{rate:.0f}/s ({seconds * 1000:.1f} ms a tenant)"
    return Figure(what, measured, f"≥ {REACH_RATE}/s", rate >= REACH_RATE)


def _import(stage: Stage, count: int) -> tuple[float, float]:
    """Seconds a tenant for making its rows, and for publishing it."""
    began = time.perf_counter()
    generations = import_people(stage.service, count)
    rows = (time.perf_counter() - began) / count
    return rows, _publish(stage, generations)


def _reseal(stage: Stage, customer_ids: Sequence[str]) -> float:
    selection = Selection(named=frozenset(customer_ids))
    cell, generations = stage.service.new_tenants_cell, dict[str, int]()
    for marked in mark_for_resealing(stage.service, cell, selection, everything=True):
        generations.update(marked.generations)
    assert len(generations) == len(customer_ids)
    return _publish(stage, generations)


def _publish(stage: Stage, generations: dict[str, int]) -> float:
    before = stage.commits()

    def publish() -> None:
        for step in follow(stage.service, stage.service.new_tenants_cell, generations):
            assert not step.failed, step.failed

    seconds = timed(publish)
    assert stage.commits() == before + len(generations)  # one each
    return seconds / len(generations)


def _plain(script: Script, sample: int) -> float:
    script.plain(1)  # does not count: it reads the index for the first time
    return timed(lambda: script.plain(sample)) / sample

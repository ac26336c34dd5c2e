"""What an audit costs, of a whole fleet: by tree ids, and with every tenant rendered.

Nothing is wrong, so it must find nothing and commit nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench.results import Figure, Result
from bench.stage import Stage
from tenantry.flows.auditing.audit import audit

REACH_BY_TREES = 10  # seconds
REACH_IN_FULL = 60  # seconds


@dataclass(frozen=True)
class Figures:
    """Of one audit each."""

    tenants: int
    by_trees: float  # seconds
    in_full: float  # seconds


def measure(stage: Stage) -> Figures:
    """Audit the stage's tenants twice."""
    service, cell, tenants = stage.service, stage.service.new_tenants_cell, stage.count()
    seconds = []
    for full in (False, True):
        head, began = cell.repository.fetch(), time.perf_counter()
        report = audit(service, cell, full=full)
        seconds.append(time.perf_counter() - began)
        assert (report.findings, report.tenants, report.head) == ([], tenants, head)
    return Figures(tenants, *seconds)


def result(found: Figures) -> Result:
    """One line an audit."""
    figures = [
        Figure(what, f"{seconds:.1f} s", f"< {reach} s", seconds < reach)
        for what, seconds, reach in (
            ("by tree ids", found.by_trees, REACH_BY_TREES),
            ("each rendered", found.in_full, REACH_IN_FULL),
        )
    ]
    return Result("audit", f"audit of {found.tenants:,} tenants, nothing to do", figures)

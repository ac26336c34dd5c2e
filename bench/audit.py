"""What an audit costs, of a whole fleet: by tree ids, and with every tenant rendered.

Nothing is wrong, so it must find nothing and commit nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from rich.console import Console
from rich.progress import track

from bench.fleet import make_fleet
from tenantry.flows.audit import audit
from tenantry.flows.service import Service


@dataclass(frozen=True)
class Figures:
    """Of one audit each."""

    tenants: int
    by_trees: float  # seconds
    in_full: float  # seconds


def measure(service: Service, console: Console, *, tenants: int = 10_000) -> Figures:
    """Make up the fleet to so many tenants, audit it twice, and say what it took."""
    cell = service.new_tenants_cell
    missing = tenants - audit(service, cell).tenants
    for size in track([500] * (missing // 500) + [missing % 500], "tenants", console=console):
        make_fleet(service, size)
    seconds = []
    for full in (False, True):
        head, began = cell.repository.fetch(), time.perf_counter()
        report = audit(service, cell, full=full)
        seconds.append(time.perf_counter() - began)
        assert (report.findings, report.tenants, report.head) == ([], tenants, head)
        console.print(f"audit of {tenants}{', rendered' if full else ''}: {seconds[-1]:.1f} s")
    return Figures(tenants, *seconds)

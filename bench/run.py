"""`make bench ARGS="[--tenants N]"`: what publishing costs, beside what Git alone costs.

The floor is measured in the same run, on the same repository: one fetch, one commit of one file by
`git fast-import`, one push, by git's own command line.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tenantry import settings, wiring
from tenantry.adapters import process
from tenantry.adapters.git import create_bare
from tenantry.core.signup import parse_signup
from tenantry.flows import keys
from tenantry.flows.publish import publish_due
from tenantry.flows.service import Service
from tenantry.flows.signup import signup

SINGLES = 15  # signups that are published one by one, for the median
BATCH = 100  # tenants in one push, for the rate


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=300, help="in the repository beforehand")
    count = parser.parse_args().tenants
    process.add_program_folder(settings.TOOLS)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(prefix="tenantry-bench-") as folder:
        service = make_service(Path(folder))
        console = Console()
        fill(service, count, console)
        floor = median(lambda: push_by_git_alone(Path(folder)))
        single = median(lambda: publish_one(service))
        batch = publish_batch(service)
        report(console, count, floor, single, batch)


def make_service(folder: Path) -> Service:
    """A service on SQLite with a local repository and nobody else around."""
    create_bare(folder / "tenants.git")
    keys.make_sealing_pair(folder / "keys", datetime.now(UTC))
    cell = {
        "repository_url": str(folder / "tenants.git"),
        "sealing_certificate": folder / "keys" / keys.SEALING_CERTIFICATE,
    }
    return wiring.build(settings.load(data_dir=folder, cells={"main": cell}))


def fill(service: Service, count: int, console: Console) -> None:
    """Tenants that are there before anything is measured."""
    for number in track(range(count), description="signing up", console=console):
        sign_up(service, f"filler-{number}")
    while publish_due(service, service.new_tenants_cell).tenants:
        pass


def sign_up(service: Service, name: str) -> None:
    """One signup, by the flow that the web calls."""
    fields = {"email": f"{name}@example.com", "password": "SecurePass123", "company_name": name}
    signup(service, parse_signup(fields, rules=service.password_rules), now=service.now())


def publish_one(service: Service) -> float:
    """Seconds from a stored signup to its commit on main, recorded."""
    sign_up(service, f"single-{time.monotonic_ns()}")
    return timed(lambda: publish_due(service, service.new_tenants_cell))


def publish_batch(service: Service) -> float:
    """Seconds for a batch of signups, sealing included."""
    for number in range(BATCH):
        sign_up(service, f"batch-{number}-{time.monotonic_ns()}")
    return timed(lambda: publish_due(service, service.new_tenants_cell))


def push_by_git_alone(folder: Path) -> float:
    """Seconds for fetch, one commit of one file, and push, by git's command line."""
    clone, remote = folder / "floor.git", folder / "tenants.git"
    if not clone.exists():
        subprocess.run(["git", "clone", "-q", "--bare", str(remote), str(clone)], check=True)
    name = f"floor/{time.monotonic_ns()}"
    stream = (
        "reset refs/floor\nfrom refs/heads/main^0\n\ncommit refs/floor\n"
        "committer Floor <floor@localhost> 0 +0000\ndata 0\n"
        f"M 100644 inline {name}\ndata 0\n\ndone\n"
    )

    def git_alone(*arguments: str, given: str = "") -> None:
        command = ["git", f"--git-dir={clone}", *arguments]
        subprocess.run(command, input=given.encode(), check=True, capture_output=True)

    def push() -> None:
        git_alone("fetch", "-q", "origin", "+main:main")
        git_alone("fast-import", "--quiet", "--force", "--done", given=stream)
        git_alone("push", "-q", "origin", "refs/floor:main")

    return timed(push)


def timed(work: Callable[[], object]) -> float:
    """Seconds that the work took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def median(measure: Callable[[], float]) -> float:
    """Of several runs, after one that does not count."""
    measure()
    return statistics.median(measure() for _ in range(SINGLES))


def report(console: Console, count: int, floor: float, single: float, batch: float) -> None:
    """One row a figure, each beside the floor."""
    table = Table(title=f"publishing, {count} tenants in the repository")
    for column in ("what", "median", "beside git alone"):
        table.add_column(column)
    table.add_row("fetch, one file, push by git alone", f"{floor * 1000:.0f} ms", "1.0")
    table.add_row("one signup → commit", f"{single * 1000:.0f} ms", f"{single / floor:.1f}")
    rate = f"{batch / BATCH * 1000:.1f} ms a tenant ({BATCH / batch:.0f}/s)"
    table.add_row(f"batch of {BATCH}, a tenant", rate, f"{batch / BATCH / floor:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()

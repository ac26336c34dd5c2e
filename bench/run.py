"""`make bench ARGS="[SUITE …] [--quick] [--tenants N] [--json] [--write]"`: the promised figures.

Suites run one after another; those about a large repository share one. Everything that is compared
is measured in the same run, so that a slower machine gives the same ratios.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import shlex
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import structlog
from rich.console import Console

from bench import audit, bulk, memory, overlay, publish, recovery, results, signup, watch
from bench.results import Figure, Result
from bench.stage import Stage, make_stage
from tenantry import settings
from tenantry.adapters import process

DOCUMENT = Path(__file__).parent.parent / "docs/benchmarks.md"


@dataclass(frozen=True)
class Scale:
    """How much of each; `tenants` are in the repository."""

    tenants: int = 10_000
    singles: int = 20
    script_singles: int = 3
    bulk_sample: int = 2000
    plain_sample: int = 4
    kills: int = 5
    outage_signups: int = 1000
    memory_signups: int = 10_000
    signups: int = 600
    builds: int = 9
    events: int = 20

    def sizes(self) -> list[int]:
        """Of the repository, rising, where single signups are measured."""
        return [size for size in (100, 1000) if size < self.tenants] + [self.tenants]


QUICK = Scale(
    tenants=6,
    singles=1,
    script_singles=1,
    bulk_sample=3,
    plain_sample=1,
    kills=1,
    outage_signups=3,
    memory_signups=10,
    signups=16,
    builds=1,
    events=1,
)


@dataclass
class Run:
    """What suites share."""

    scale: Scale
    console: Console
    _open: ExitStack
    _stage: list[Stage] = field(default_factory=list)

    @property
    def stage(self) -> Stage:
        """The large repository; made when it is first asked for."""
        if not self._stage:
            self._stage.append(self._open.enter_context(make_stage()))
        return self._stage[0]

    def checked(self, result: Result) -> Result:
        """With a line on how the large repository came through."""
        return result.followed_by(Figure("repository afterwards", self.stage.check()))


def run_publish(run: Run) -> Result:
    """Single signups."""
    scale = run.scale
    found = publish.measure(
        run.stage,
        run.console,
        sizes=scale.sizes(),
        singles=scale.singles,
        script_singles=scale.script_singles,
    )
    return run.checked(publish.result(found))


def run_bulk(run: Run) -> Result:
    """Import and re-seal, beside scripts."""
    scale = run.scale
    found = bulk.measure(
        run.stage,
        run.console,
        tenants=scale.tenants,
        sample=scale.bulk_sample,
        plain_sample=scale.plain_sample,
    )
    return run.checked(bulk.result(found))


def run_recovery(run: Run) -> Result:
    """A killed worker; an hour without the Git host."""
    scale = run.scale
    return recovery.result(
        *recovery.measure(run.console, kills=scale.kills, signups=scale.outage_signups)
    )


def run_audit(run: Run) -> Result:
    """All tenants against Git, by tree ids and in full."""
    run.stage.grow(run.scale.tenants, run.console)
    return run.checked(audit.result(audit.measure(run.stage)))


def run_memory(run: Run) -> Result:
    """Real processes under signups."""
    scale = run.scale
    run.stage.grow(scale.tenants, run.console)
    tenants = run.stage.count()
    looks = memory.measure(run.stage, run.console, signups=scale.memory_signups)
    return run.checked(memory.result(tenants, looks))


def run_overlay(run: Run) -> Result:
    """Builds of a tenant of each class."""
    return overlay.result(overlay.measure(run.stage, run.console, tries=run.scale.builds))


def run_signup(run: Run) -> Result:
    """Requests beside the password hash alone."""
    return signup.result(signup.measure(run.console, signups=run.scale.signups))


def run_watch(run: Run) -> Result:
    """Following Argo CD, in a repository of its own."""
    scale = run.scale
    return watch.result(watch.measure(run.console, tenants=scale.tenants, events=scale.events))


# In the order in which they run, however they are named: `memory` ends while tenants are still to
# be published, and `audit` must find nothing.
SUITES: Mapping[str, Callable[[Run], Result]] = {
    "overlay": run_overlay,
    "publish": run_publish,
    "bulk": run_bulk,
    "audit": run_audit,
    "memory": run_memory,
    "signup": run_signup,
    "recovery": run_recovery,
    "watch": run_watch,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and where asked for, write into the document."""
    arguments = sys.argv[1:] if arguments is None else arguments
    chosen = _parse(arguments)
    process.add_program_folder(settings.TOOLS)
    os.environ["PATH"] = process.search_path()  # scripts find kubeseal there, too
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    scale = QUICK if chosen.quick else Scale()
    if chosen.tenants:
        scale = replace(scale, tenants=chosen.tenants)
    console, suites = Console(stderr=chosen.json), in_order(chosen.suites or SUITES)
    found = list(_measure(suites, scale, is_quick=chosen.quick, console=console))
    measured = machine(arguments)
    if chosen.json:
        print(json.dumps(results.as_data(measured, found), indent=2, ensure_ascii=False))
    if chosen.write:
        results.write(DOCUMENT, {result.name: result.markdown(measured) for result in found})


def in_order(names: Collection[str]) -> list[str]:
    """The suites of these names, as they run."""
    return [name for name in SUITES if name in names]


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    # argparse looks for the default, too, among the choices: no suite named is []
    parser.add_argument("suites", nargs="*", choices=[*SUITES, []], metavar="SUITE")
    parser.add_argument("--quick", action="store_true", help="does everything work? no figures")
    parser.add_argument("--tenants", type=int, help="in the repository beforehand")
    parser.add_argument("--json", action="store_true", help="write JSON to standard output")
    parser.add_argument("--write", action="store_true", help=f"into {DOCUMENT.name}, too")
    chosen = parser.parse_args(arguments)
    if chosen.quick and chosen.write:
        parser.error("--quick measures too little to be written")
    return chosen


def _measure(
    suites: Sequence[str], scale: Scale, *, is_quick: bool, console: Console
) -> Iterator[Result]:
    with ExitStack() as opened:
        run = Run(scale, console, opened)
        for name in suites:
            result = SUITES[name](run)
            result = result.unjudged() if is_quick else result
            console.print(result.table())
            yield result


def machine(arguments: Sequence[str]) -> dict[str, str]:
    """What the figures depend on, and what made them."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    command = f'make bench ARGS="{shlex.join(arguments)}"' if arguments else "make bench"
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "command": command,
        "cores": str(os.cpu_count()),
        "memory": f"{memory_bytes / 2**30:.0f} GiB",
        "python": platform.python_version(),
        "git": ".".join(map(str, process.version_of(["git", "--version"]))),
    }


if __name__ == "__main__":
    main()

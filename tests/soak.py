"""`make soak ARGS="--kills 1000"`: random lives of a tenant, and the kill loop of the tests, for as
long as you like.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from tenantry.adapters import process
from tests import postgres
from tests.histories.run import run
from tests.system.kill_loop import WORKERS, KillLoop, Tally
from tests.system.processes import Site, running
from tools.work import ROOT

DATABASES = ("sqlite", "postgresql")
ROUND = 50  # kills, after which all is judged and begins anew: what is judged stays small
PATIENCE = 120.0  # seconds; a signup whose process died is taken over after one minute


@click.command()
@click.option("--kills", default=1000, show_default=True, help="In all, over the databases.")
@click.option("--seed", type=int, help="Of the moments and victims. [default: random]")
@click.option("--database", "kinds", multiple=True, type=click.Choice(DATABASES), default=DATABASES)
@click.option("--histories", default=100_000, show_default=True, help="Lives to judge first.")
def soak(kills: int, seed: int | None, kinds: tuple[str, ...], histories: int) -> None:
    """Judge random lives of a tenant; then kill web and workers at random moments while people sign
    up, and show what is left.
    """
    process.add_program_folder(ROOT / ".tools" / "bin")
    if seed is None:
        seed = random.SystemRandom().randrange(10**6)
    truth = run(histories, seed)
    click.echo(f"{truth}\n")
    is_well = truth.is_well
    for number, kind in enumerate(kinds):
        share = kills // len(kinds) + (number < kills % len(kinds))
        total = Tally(seed)
        for begun in range(0, share, ROUND):
            total += _round(kind, min(ROUND, share - begun), seed + begun)
            click.echo(f"{kind}\n{total}\n")
        is_well = is_well and total.is_well(kills=share, living=len(WORKERS))
    sys.exit(0 if is_well else 1)


def _round(kind: str, kills: int, seed: int) -> Tally:
    with tempfile.TemporaryDirectory(prefix="tenantry-soak-") as name:
        folder = Path(name)
        with _database(kind, folder) as url:
            site = Site(folder / "site", url)
            service = site.service()
            with running(site, service):
                return KillLoop(site, service, seed=seed).run(kills, patience=PATIENCE)


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder}/tenantry.db"
        return
    with postgres.server() as url:
        yield postgres.new_database(url)


if __name__ == "__main__":
    soak()

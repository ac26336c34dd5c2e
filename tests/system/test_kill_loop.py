"""Nothing is lost and nothing doubled where processes die at random moments."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from tests.system.kill_loop import WORKERS, KillLoop
from tests.system.processes import Site, running

KILLS = 3  # on each database; `make soak` for more


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_by_kills(tmp_path: Path, database_url: str) -> None:
    site = Site(tmp_path, database_url)
    service = site.service()
    seed = random.SystemRandom().randrange(10**6)
    with running(site, service):
        tally = KillLoop(site, service, seed=seed).run(KILLS, patience=2)
    sys.stdout.write(f"{tally}\n")
    assert tally.is_well(kills=KILLS, living=len(WORKERS)), f"\n{tally}"

"""A simulated year: each mail once, nobody suspended early, every license valid (R50, R51, R52).

`EXAMPLES=500` has so many customers live another year each time; `SEED=288877` plays again the one
that failed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from tenantry.core.review import ChangeKind, Mode, Policy
from tests.invariants import check_customers
from tests.lives.mutations import MUTATIONS, OFTEN
from tests.lives.year import Year
from tests.migrated import on_sqlite
from tests.system.world import World, make_world

MORE = int(os.environ.get("EXAMPLES", "0"))  # customers, and another year each time
PEOPLE, REVIEWED, MUTATED = MORE or 16, MORE or 4, 40
SEED = int(os.environ.get("SEED") or (random.SystemRandom().randrange(10**6) if MORE else 8))
REVIEWS = Policy(modes=dict.fromkeys(ChangeKind, Mode.REVIEW) | {ChangeKind.SIGNUP: Mode.DIRECT})

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0 if MORE else 120)]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A year says a lot; what is wrong is told with the customer's story."""
    print(f"seed {SEED}")  # noqa: T201 - shown where it fails
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def world(tmp_path: Path, database_url: str) -> Iterator[World]:
    world = make_world(tmp_path, database_url)
    yield world
    world.service.database.close()


def test_a_year_goes_by(world: World) -> None:
    Year(world, SEED, PEOPLE).play()
    check_customers(world.service)


@on_sqlite
def test_a_year_goes_by_where_people_review_all(world: World) -> None:
    cells = {"main": replace(world.cell, policy=REVIEWS)}
    world.service = replace(world.service, cells=cells)
    Year(world, SEED, REVIEWED, review=True).play()
    check_customers(world.service)


@on_sqlite
@pytest.mark.parametrize("name", MUTATIONS if MORE else OFTEN)
def test_a_year_finds_each_mutation(
    name: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    MUTATIONS[name](monkeypatch)
    with pytest.raises(AssertionError):
        Year(world, SEED, MUTATED).play()

"""A world per test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.invariants import check_invariants
from tests.system.world import PASSWORD, World, make_world


@pytest.fixture
def world(tmp_path: Path, database_url: str) -> Iterator[World]:
    """A service on each database in turn; the invariants are checked at the end of every test."""
    world = make_world(tmp_path, database_url)
    yield world
    check_invariants(world.service, canaries=[PASSWORD])
    world.service.database.close()

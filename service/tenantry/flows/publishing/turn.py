"""A turn at a cell's main, for who is not the publisher: by the publisher's own lease."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tenantry.core.errors import LeaseLost
from tenantry.flows.service import Cell

PATIENCE = 30.0  # seconds for the publisher to let go of the lease
PAUSE = 0.05  # seconds between looks at it


@contextmanager
def leased(cell: Cell, *, wait: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Hold the lease while the block runs, which should be short: signups wait for it. LeaseLost
    where others hold it all the time.
    """
    give_up = time.monotonic() + PATIENCE
    while not cell.lease.take():
        if time.monotonic() > give_up:
            raise LeaseLost
        wait(PAUSE)
    try:
        with cell.lease.kept():
            yield
    finally:
        cell.lease.release()


def require(cell: Cell) -> None:
    """LeaseLost where it is somebody else's turn by now; to be asked before a push."""
    if not cell.lease.is_ours:
        raise LeaseLost


def push(cell: Cell) -> None:
    """Push what was built last, if it still is our turn. As `require`, and then as
    `TenantsRepository.push`.
    """
    require(cell)
    cell.repository.push()

"""A turn at a cell's main, by the publisher's lease: also for who is not the publisher."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tenantry.core.errors import LeaseLost, PushRejected, RepositoryError
from tenantry.flows.service import Cell

T = TypeVar("T")
REBUILDS = 8  # rejected pushes in a row after which one gives up
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


def until_it_lands(
    cell: Cell, action: Callable[[], T], *, wait: Callable[[float], None] = time.sleep
) -> T:
    """What the action comes to, done within one turn: it reads main, builds on it and pushes, and
    is begun anew where that push is rejected. As `leased`, and RepositoryError where main moves on
    each time.
    """
    with leased(cell, wait=wait):
        for _ in range(REBUILDS):
            try:
                return action()
            except PushRejected:
                continue
    raise moved_on(cell)


def moved_on(cell: Cell) -> RepositoryError:
    """The error of who gives up."""
    return RepositoryError(f"main of cell {cell.name} moved on {REBUILDS} times; try again")


def require(cell: Cell) -> None:
    """LeaseLost where somebody else has had a turn since; to be asked before a push."""
    if not cell.lease.is_ours and not cell.lease.keep():
        raise LeaseLost


def push(cell: Cell) -> None:
    """Push what was built last, if it still is our turn. As `require`, and then as
    `TenantsRepository.push`.
    """
    require(cell)
    cell.repository.push()

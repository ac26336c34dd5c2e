"""`python -m tests.histories.run --count 100000`: no wrong `ready`, no wrong `failed`."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass

import click

from tests.histories.history import make, play, shrink
from tests.histories.watcher import Wrong

ENOUGH_READY = 0.3  # of the histories; fewer means that what is right is not told
ENOUGH_FAILED = 0.02


@dataclass
class Found:
    """`wrong`: what was told that was not so, and after which events, as few as can be."""

    histories: int = 0
    readies: int = 0
    faileds: int = 0
    wrong: str = ""

    @property
    def is_well(self) -> bool:
        return (
            not self.wrong
            and self.readies >= ENOUGH_READY * self.histories
            and self.faileds >= ENOUGH_FAILED * self.histories
        )

    def __str__(self) -> str:
        told = f"{self.histories} histories: ready told {self.readies} times, failed {self.faileds}"
        return f"{told}\n{self.wrong}".rstrip()


def run(count: int, seed: int) -> Found:
    """Play that many histories; ends at the first wrong one."""
    found = Found()
    for number in range(seed, seed + count):
        history = make(number)
        try:
            world = play(history)
        except Wrong as wrong:
            found.wrong = f"seed {number}: {wrong}\n{shrink(history)}"
            return found
        found.histories += 1
        found.readies += world.watcher.readies
        found.faileds += world.watcher.faileds
    return found


@click.command()
@click.option("--count", default=100_000, show_default=True, help="Histories.")
@click.option("--seed", type=int, help="Of the first. [default: random]")
def main(count: int, seed: int | None) -> None:
    """Play random lives of a tenant; show what was told, and the first thing that was wrong."""
    if seed is None:
        seed = random.SystemRandom().randrange(10**9)
    found = run(count, seed)
    click.echo(found)
    sys.exit(0 if found.is_well else 1)


if __name__ == "__main__":
    main()

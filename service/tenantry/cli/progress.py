"""Long work at a terminal: a bar on standard error, lines beside it, and Ctrl-C between steps."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from tenantry.cli.terminal import printable

T = TypeVar("T")


class Bar:
    """How far one piece of work is; lines are told above it. Nothing is drawn where standard error
    is no terminal.
    """

    def __init__(self, progress: Progress, title: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=total)

    def advance(self, steps: int) -> None:
        """So many more are done."""
        self._progress.advance(self._task, steps)

    def tell(self, line: str) -> None:
        """A line that stays."""
        self._progress.console.print(Text(printable(line)), soft_wrap=True)


@contextmanager
def bar(title: str, total: int | None) -> Iterator[Bar]:
    """A bar while the block runs."""
    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield Bar(progress, title, total)


def stoppable(steps: Iterator[T]) -> Iterator[T]:
    """The steps, each of which is finished: Ctrl-C ends them in between, with KeyboardInterrupt."""
    asked: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: asked.append(number))
    try:
        for step in steps:
            yield step
            if asked:
                raise KeyboardInterrupt
    finally:
        signal.signal(signal.SIGINT, before)

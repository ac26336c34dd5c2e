"""What commands over many tenants do alike: build the service, count, tell, follow, sum up.

Exit codes: 0 all done, 1 some failed (one line each), 130 stopped by Ctrl-C (one line says how to
go on).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click

from tenantry import settings, wiring
from tenantry.cli.options import require_cell
from tenantry.cli.progress import bar, stoppable
from tenantry.cli.terminal import echo
from tenantry.core.errors import TenantryError
from tenantry.flows.fleet import bulk
from tenantry.flows.fleet.bulk import Marked
from tenantry.flows.fleet.follow import follow
from tenantry.flows.rows import no_customer
from tenantry.flows.service import Cell, Service

INTERRUPTED = 130

wait_option = click.option(
    "--no-wait", is_flag=True, help="Leave the publishing to the worker, and end at once."
)
ids_argument = click.argument("customer_ids", nargs=-1, metavar="[CUSTOMER_ID]...")


@contextmanager
def opened(product_dir: Path | None = None) -> Iterator[Service]:
    """The service, for one command: its log lines are errors only, since the command tells.
    `product_dir` goes before the setting.
    """
    logging.getLogger().setLevel(logging.ERROR)
    given = {"product_dir": product_dir} if product_dir else {}
    service = wiring.build(settings.load(**given))
    try:
        yield service
    finally:
        service.database.close()


def cell_of(service: Service, customer_id: str) -> Cell:
    """The cell of a customer's tenant; NotFound where no cell has it."""
    for cell in service.cells.values():
        if not bulk.unknown(service, [cell], [customer_id]):
            return cell
    raise no_customer(customer_id)


def choose_cells(service: Service, name: str | None) -> list[Cell]:
    """All cells, or the one that was named."""
    if name is None:
        return list(service.cells.values())
    require_cell(name, service.cells)
    return [service.cells[name]]


_complain = partial(echo, err=True)


class Run:
    """One command's counts, and what it tells on the way."""

    def __init__(self, service: Service, *, as_json: bool) -> None:
        self.service = service
        self.as_json = as_json
        self.counts = {"looked_at": 0, "marked": 0, "published": 0, "failed": 0, "waiting": 0}
        self.last = ""  # customer id that was looked at last

    def require_known(
        self, cells: Sequence[Cell], customer_ids: Sequence[str]
    ) -> frozenset[str] | None:
        """Those that are named, None for all; one that nobody knows is a failure, and the rest is
        done.
        """
        missing = bulk.unknown(self.service, cells, customer_ids)
        for customer_id in missing:
            self.fail(f"{customer_id}: there is no such tenant")
        return frozenset(customer_ids) - set(missing) if customer_ids else None

    def mark(self, cell: Cell, title: str, total: int, pages: Iterator[Marked]) -> dict[str, int]:
        """Go through the pages; the generations of those that were marked, by customer id."""
        generations: dict[str, int] = {}
        with self.going_on(cell), bar(title, total) as shown:
            for page in stoppable(pages):
                generations |= page.generations
                self.last = page.last
                self.count(looked_at=page.looked_at, marked=len(page.generations))
                for customer_id, reason in page.failed.items():
                    self.fail(f"{customer_id}: {reason}", shown.tell)
                shown.advance(page.looked_at)
        return generations

    @contextmanager
    def going_on(self, cell: Cell) -> Iterator[None]:
        """What keeps all of a cell from being done is one failure, and the other cells are done."""
        try:
            yield
        except TenantryError as error:
            self.fail(f"cell {cell.name}: {error}")

    def follow(self, cell: Cell, generations: Mapping[str, int], *, no_wait: bool = False) -> None:
        """Publish until all of them are on main, or have failed."""
        self.count(waiting=len(generations))
        if no_wait or not generations:
            return
        with self.going_on(cell), bar("publishing", len(generations)) as shown:
            for step in follow(self.service, cell, generations):
                if step.trouble:
                    shown.tell(f"waiting: {step.trouble}")
                for customer_id, reason in step.failed.items():
                    self.fail(f"{customer_id}: {reason}", shown.tell)
                done = step.published + len(step.failed)
                self.count(published=step.published, waiting=-done)
                shown.advance(done)

    def end(self) -> None:
        """Sum up; exit code 1 where anything failed."""
        click.echo(json.dumps(self.counts) if self.as_json else self.summary())
        if self.counts["failed"]:
            raise click.exceptions.Exit(1)

    def summary(self) -> str:
        """The counts, for people."""
        return ", ".join(
            f"{number} {name.replace('_', ' ')}" for name, number in self.counts.items()
        )

    @contextmanager
    def stopped_by_interrupt(self, advice: Callable[[], str] = str) -> Iterator[None]:
        """Ctrl-C within the block says what is done and, by `advice`, how to go on."""
        try:
            yield
        except KeyboardInterrupt:
            counts = self.counts
            waiting = counts["marked"] - counts["published"]
            told = [
                f"tenantry: stopped; looked at {counts['looked_at']}, marked {counts['marked']}",
                f"a worker goes on with {waiting} of them" if waiting else "",
                advice(),
            ]
            echo("; ".join(filter(None, told)), err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None

    def count(self, **more: int) -> None:
        """Add to the counts."""
        for name, number in more.items():
            self.counts[name] += number

    def fail(self, line: str, tell: Callable[[str], None] = _complain) -> None:
        """One more that failed, and its line."""
        self.count(failed=1)
        tell(line)

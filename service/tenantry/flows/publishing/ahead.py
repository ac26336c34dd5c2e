"""Sealing ahead: while Git works on one batch, kubeseal works on the next.

A help and never needed: what is sealed is stored, and found there when the batch's turn comes; what
could not be sealed fails then, where it is dealt with.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog

from tenantry.adapters.seal import CORES
from tenantry.core.errors import TenantryError
from tenantry.core.frames import frames
from tenantry.flows.publishing.due import read_due
from tenantry.flows.publishing.sealing import sealed_values
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()
LEFT = max(1, CORES - 1)  # cores: one is Git's, or both would be late


@contextmanager
def sealing_ahead(service: Service, cell: Cell, customer_ids: Sequence[str]) -> Iterator[None]:
    """Seal what these customers' tenants lack while the block runs; ends when both have."""
    if not customer_ids:
        yield
        return
    sealer = threading.Thread(
        target=_seal, args=(service, cell, customer_ids), name="sealer", daemon=True
    )
    sealer.start()
    try:
        yield
    finally:
        sealer.join()


def _seal(service: Service, cell: Cell, customer_ids: Sequence[str]) -> None:
    try:
        read = read_due(service, cell, customer_ids)
        sealed_values(service, cell, [each.spec for each in read.due], cores=LEFT)
    except TenantryError as error:
        log.info("sealing.ahead_failed", cell=cell.name, code=error.code, detail=str(error))
    except Exception as error:  # noqa: BLE001 - logged, without the values it may quote
        log.error("sealing.ahead_crashed", cell=cell.name, frames=frames(error))

"""How much of a change to many tenants may go out now (R34).

What is published here, Argo CD has to work off, one or two tenants a second, first in, first out;
what goes out at once keeps a later signup waiting.
"""

from __future__ import annotations

from tenantry.flows.service import Cell, Service


def bulk_allowance(service: Service, cell: Cell) -> int:
    """How many tenants of a bulk change the next push to the cell may carry: a batch, whatever
    Argo CD has finished of the last one.
    """
    del cell  # its Argo CD is what a pace goes by
    return service.bulk_batch

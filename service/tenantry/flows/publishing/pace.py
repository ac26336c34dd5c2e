"""How much of a change to many tenants may go out now: the seam for a pace.

What is published here, Argo CD has to work off, one or two tenants a second, first in, first out;
what goes out at once keeps a later signup waiting. A pace that goes by what the cell's Argo CD has
finished belongs here; until there is one, each push carries a batch.
"""

from __future__ import annotations

from tenantry.flows.service import Service


def bulk_allowance(service: Service) -> int:
    """How many tenants of a bulk change the next push to a cell may carry."""
    return service.bulk_batch

"""Following what was marked until main shows it.

Whoever follows publishes, too: without a worker it would wait for ever, and beside one the lease
lets one of them publish at a time. Stopping changes nothing for what was marked: a worker goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from sqlalchemy import select

from tenantry.adapters.database.tables import Tenant
from tenantry.core.errors import TenantryError
from tenantry.flows.fleet.bulk import PAGE, split
from tenantry.flows.publishing.publish import publish_due
from tenantry.flows.service import Cell, Service

POLL = 0.25  # seconds between looks at what others publish
LONGEST_POLL = 2.0  # where nothing happens it is doubled each time, up to this
COLUMNS = (
    Tenant.customer_id, Tenant.published_generation, Tenant.set_aside, Tenant.last_error,
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """What happened since the last one."""

    published: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)  # why, by customer id
    trouble: str = ""  # that all tenants wait for; told once


def follow(
    service: Service,
    cell: Cell,
    generations: Mapping[str, int],
    *,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[Step]:
    """Until each of the customers' tenants is published at its generation, or set aside, or failed
    on its own. Raises what only a person can mend; what passes by itself is waited for.
    """
    waiting, told, pause = dict(generations), "", POLL
    while waiting:
        try:
            published = publish_due(service, cell)
        except TenantryError as error:
            if error.permanent:
                raise
            if str(error) != told:
                yield Step(trouble=(told := str(error)))
            wait(pause := min(2 * pause, LONGEST_POLL))
            continue
        if published.trouble not in ("", told):
            yield Step(trouble=(told := published.trouble))
        ours = [each for each in published.tenants if waiting.pop(each, None) is not None]
        step = Step(len(ours)) if ours else _look(service, waiting)
        yield step
        if waiting and not ours:
            pause = POLL if step.published or step.failed else min(2 * pause, LONGEST_POLL)
            wait(pause)


def _look(service: Service, waiting: dict[str, int]) -> Step:
    """What became of those that wait; those that are done with leave `waiting`."""
    published, failed = 0, dict[str, str]()
    for page in split(list(waiting), PAGE):
        rows = select(*COLUMNS).where(Tenant.customer_id.in_(page))
        with service.database.read() as session:
            for tenant in session.execute(rows):
                reason = tenant.set_aside or tenant.last_error
                if tenant.published_generation >= waiting[tenant.customer_id]:
                    published += 1
                elif reason:
                    failed[tenant.customer_id] = reason
                else:
                    continue
                del waiting[tenant.customer_id]
    return Step(published, failed)

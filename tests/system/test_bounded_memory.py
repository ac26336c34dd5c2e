"""However many tenants there are, no more than a page of them is in memory."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tenantry.adapters.customer_list import Line
from tenantry.adapters.database.tables import Customer, Tenant
from tenantry.core.finding import Facts
from tenantry.core.importing import Imported
from tenantry.flows.auditing.audit import audit
from tenantry.flows.fleet import bulk, importing
from tenantry.flows.fleet.importing import import_lines
from tenantry.flows.fleet.rerender import Current, mark_for_rendering
from tenantry.flows.fleet.reseal import mark_for_resealing
from tests.migrated import on_sqlite
from tests.system.fleet import ALL, publish_all
from tests.system.world import World

PAGES = 5


def alive(*kinds: type) -> int:
    """How many of the kind that there are most of; what is garbage does not count."""
    gc.collect()
    there = gc.get_objects()
    return max(sum(type(each) is kind for each in there) for kind in kinds)


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("mark", [mark_for_resealing, mark_for_rendering])
@on_sqlite
def test_marking_holds_a_page_of_tenants(
    world: World, monkeypatch: pytest.MonkeyPatch, mark: Callable[..., Iterator[bulk.Marked]],
    everything: bool,
) -> None:  # fmt: skip
    publish_all(world, 2 * PAGES)
    monkeypatch.setattr(bulk, "PAGE", 2)
    pages = mark(world.service, world.cell, ALL, everything=everything)
    found = [alive(Tenant, Current) for _ in pages]
    assert len(found) == PAGES
    assert max(found) <= 2
    world.publish()


@pytest.mark.parametrize("full", [False, True])
@on_sqlite
def test_an_audit_holds_a_page_of_tenants(
    world: World, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    publish_all(world, 2 * PAGES)
    monkeypatch.setattr(bulk, "PAGE", 2)
    found: list[int] = []
    count = partial(alive, Tenant, Facts, Current)
    audit(world.service, world.cell, full=full, progress=lambda _: found.append(count()))
    assert len(found) == PAGES
    assert max(found) <= 2


@on_sqlite
def test_an_import_reads_no_further_than_a_page_ahead(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "PAGE", 2)
    read = 0

    def lines() -> Iterator[Line]:
        nonlocal read
        for number in range(2 * PAGES):
            read += 1
            yield Line(number, {"email": f"c{number}@example.com", "company_name": "C"})

    taken = 0
    for page in import_lines(world.service, lines()):
        taken += page.looked_at
        assert read == taken
        assert alive(Line, Imported, Customer) <= 2
    assert taken == 2 * PAGES

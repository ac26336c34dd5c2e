"""A marked tenant tries the whole way; the watcher's part is played."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from tenantry.adapters.database.tables import Customer, Outbox, Tenant
from tenantry.core.model import State, Status
from tenantry.flows import status
from tenantry.flows.figures import SYNTHETIC_DOMAIN
from tenantry.flows.synthetic import try_whole_way
from tests.system.world import World


@pytest.mark.parametrize("end", [Status.READY, Status.FAILED, None])
def test_it_waits_for_the_end_and_is_suspended_whatever_that_is(
    world: World, end: Status | None
) -> None:
    def wait(seconds: float) -> None:
        world.wait(minutes=1)
        if end is None:
            return
        with world.service.database.write() as session:
            tenant = session.scalars(select(Tenant)).one()
            for each in (Status.PROVISIONING, end):
                code = "ready" if each == Status.READY else "sync_failed"
                status.report(session, tenant, each, code, detail="", now=world.clock())

    tried = try_whole_way(world.service, within=150, wait=wait)
    assert tried.is_good == (end == Status.READY)
    assert tried.seconds == pytest.approx(180 if end is None else 60, abs=1)
    tenant = world.tenant(tried.customer_id)
    assert tenant.approved["state"] == State.SUSPENDED
    with world.service.database.read() as session:
        assert session.scalars(select(Customer.email)).one().endswith(f"@{SYNTHETIC_DOMAIN}")
        assert all(mail.withheld_at for mail in session.scalars(select(Outbox)))

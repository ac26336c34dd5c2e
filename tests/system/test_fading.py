"""Messages about payments are emptied once nobody has looked at them for long."""

from __future__ import annotations

from sqlalchemy import select

from tenantry.adapters.database.tables import BillingEvent
from tenantry.core.subscription import Event, EventKind
from tenantry.flows.gauges import count_unclear_billing
from tenantry.flows.housekeeping import forget_old
from tenantry.flows.subscriptions.events import Told, tell
from tests.system.world import World

DAY = 24 * 60  # minutes


def test_what_names_people_goes_after_ninety_days_and_dates_stay(world: World) -> None:
    ours, wrapped = world.sign_up().customer_id, world.service.vault.wrap("a message")
    now = world.clock()
    for told in (
        Told(Event("riddle", EventKind.OTHER, now), "strange", "billing", ours, "cus_1", wrapped),
        Told(Event("nobody", EventKind.PAID, now), "paid", "billing", None, "cus_2", wrapped),
        Told(Event("paid", EventKind.PAID, now), "paid", "billing", ours, "cus_1"),
    ):
        tell(world.service, told)
    world.wait(89 * DAY)
    forget_old(world.service, now=world.clock())
    assert counts(world) == {"nobody": 1, "not_understood": 1}
    world.wait(DAY)
    assert forget_old(world.service, now=world.clock()) >= 2
    assert counts(world) == {"nobody": 0, "not_understood": 0}
    with world.service.database.read() as session:
        rows = {each.external_id: each for each in session.scalars(select(BillingEvent))}
    assert {each.wrapped for each in rows.values()} == {None}
    names = {key: each.billing_customer for key, each in rows.items()}
    assert names == {"riddle": "cus_1", "nobody": None, "paid": "cus_1"}
    assert {each.at for each in rows.values()} == {now}


def counts(world: World) -> dict[str, int]:
    with world.service.database.read() as session:
        return count_unclear_billing(session)

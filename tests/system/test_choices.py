"""What customers decide at the same time, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import func, select

from tenantry.adapters.database.tables import BillingEvent, LicenseRow, Subscription
from tenantry.core.subscription import Stage
from tenantry.flows.accounts.choices import cancel, change_time_zone, resume
from tests.system.world import World


def test_of_clicks_at_once_one_counts(world: World) -> None:
    customer_id = world.sign_up().customer_id
    for decide, stage in ((cancel, Stage.CANCELLED), (resume, Stage.TRIALING)):
        with ThreadPoolExecutor(4) as pool:
            told = list(pool.map(lambda _, d=decide: d(world.service, customer_id), range(4)))
        assert sorted(told) == [False, False, False, True]
        with world.service.database.read() as session:
            assert session.get_one(Subscription, customer_id).status == stage
    with world.service.database.read() as session:
        assert session.scalar(select(func.count()).select_from(BillingEvent)) == 2


def test_moves_at_once_issue_one_license(world: World) -> None:
    customer_id = world.sign_up().customer_id
    with ThreadPoolExecutor(4) as pool:
        moved = [
            pool.submit(change_time_zone, world.service, customer_id, "Asia/Tokyo")
            for _ in range(4)
        ]
    assert [each.result() for each in moved] == [None] * 4
    with world.service.database.read() as session:
        assert session.scalar(select(func.count()).select_from(LicenseRow)) == 2
    assert world.tenant(customer_id).generation == 2

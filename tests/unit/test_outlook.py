"""What a customer is told of the time ahead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from tenantry import assets
from tenantry.adapters.product_folder import read_product_folder
from tenantry.core.model import State
from tenantry.core.outlook import if_cancelled, outlook
from tenantry.core.subscription import Booking, position

PRODUCT = read_product_folder(assets.path("tenant_templates")).product
START = datetime(2026, 11, 23, 9, tzinfo=UTC)
ENDS = datetime(2026, 12, 8, tzinfo=UTC)
TRIAL = Booking(START, "UTC", ENDS, "starter")
PAID = Booking(START, "UTC", ENDS, "starter", paid_since=START + timedelta(days=3))
ALL = [State.ACTIVE, State.READ_ONLY, State.SUSPENDED]


def test_a_trial_runs_out_in_phases() -> None:
    phases = outlook(TRIAL, PRODUCT, START)
    assert [each.state for each in phases] == ALL
    assert [each.until for each in phases] == [ENDS, ENDS + timedelta(days=3), None]


@pytest.mark.parametrize("days", range(25))
def test_what_is_over_is_not_told_and_the_first_phase_is_that_which_runs(days: int) -> None:
    now = START + timedelta(days=days)
    phases = outlook(TRIAL, PRODUCT, now)
    assert phases[0].state == position(TRIAL, PRODUCT, now).moment.state
    assert all(before.until == after.since for before, after in pairwise(phases))
    assert phases[-1].until is None


def test_what_is_paid_for_without_an_end_has_none_until_it_is_cancelled() -> None:
    now = START + timedelta(days=10)
    assert [each.until for each in outlook(PAID, PRODUCT, now)] == [None]
    phases = if_cancelled(PAID, PRODUCT, now)
    assert [each.state for each in phases] == ALL
    assert phases[0].until == datetime(2026, 12, 4, tzinfo=UTC)
    assert PAID.cancelled_at is None

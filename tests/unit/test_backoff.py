"""Waits grow, are spread, and end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.core.backoff import Backoff, has_passed

BACKOFF = Backoff(first=timedelta(seconds=2), longest=timedelta(minutes=5))
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
draws = st.floats(0, 1, exclude_max=True)


def test_waits_double_up_to_the_longest() -> None:
    waits = [BACKOFF.wait(attempts, 0.0).total_seconds() for attempts in range(1, 12)]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 150, 150, 150]


@given(st.integers(1, 10**9), draws)
def test_wait_is_spread_over_its_upper_half(attempts: int, draw: float) -> None:
    least = BACKOFF.wait(attempts, 0.0)
    assert least <= BACKOFF.wait(attempts, draw) <= min(2 * least, BACKOFF.longest)


@given(st.integers(1, 100), draws)
def test_wait_binds_until_it_is_over(attempts: int, draw: float) -> None:
    retry_at = NOON + BACKOFF.wait(attempts, draw)
    assert not BACKOFF.is_over(retry_at, NOON)
    assert BACKOFF.is_over(retry_at, retry_at)
    assert BACKOFF.is_over(None, NOON)


@given(st.integers(1, 100), draws)
def test_clock_set_back_locks_nobody_out(attempts: int, draw: float) -> None:
    retry_at = NOON + BACKOFF.wait(attempts, draw)
    assert BACKOFF.is_over(retry_at, NOON - timedelta(hours=1))


@given(draws)
def test_longest_wait_is_spread_as_the_others(draw: float) -> None:
    assert BACKOFF.longest / 2 <= BACKOFF.longest_wait(draw) <= BACKOFF.longest


@pytest.mark.parametrize(("seconds", "passed"), [(0, False), (9, False), (10, True), (-1, True)])
def test_a_time_has_passed_also_where_the_clock_was_set_back(seconds: int, passed: bool) -> None:
    since = NOON
    now = since + timedelta(seconds=seconds)
    assert has_passed(timedelta(seconds=10), since, now) == passed
    assert has_passed(timedelta(seconds=10), None, now)

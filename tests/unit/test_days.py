"""Days end at midnight where the customer lives (R1)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.core.days import day_ends, ending, find_time_zone, time_zones

ZONES = [
    "UTC",
    "Europe/Zurich",
    "America/New_York",
    "America/Havana",  # midnight happens twice
    "Africa/Cairo",  # midnight is skipped
    "Asia/Beirut",
    "America/Santiago",
    "Australia/Lord_Howe",  # half an hour of summer time
    "Asia/Kathmandu",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("started", "days", "zone", "ends"),
    [
        ("2026-11-22T17:13:00+00:00", 14, "UTC", "2026-12-07T00:00:00+00:00"),
        # 23:30 UTC is the next day in Zurich already, and still the day before in New York
        ("2026-11-22T23:30:00+00:00", 14, "Europe/Zurich", "2026-12-08T00:00:00+01:00"),
        ("2026-11-22T01:00:00+00:00", 14, "America/New_York", "2026-12-06T00:00:00-05:00"),
        # into and out of summer time: midnight stays midnight
        ("2026-03-20T12:00:00+00:00", 14, "Europe/Zurich", "2026-04-04T00:00:00+02:00"),
        ("2026-10-20T12:00:00+00:00", 14, "Europe/Zurich", "2026-11-04T00:00:00+01:00"),
        # Cairo has no 00:00 on 2026-04-24: the day begins at 01:00
        ("2026-04-09T12:00:00+00:00", 14, "Africa/Cairo", "2026-04-24T01:00:00+03:00"),
        # Havana has two 00:00 on 2026-11-01: the first ends the day before
        ("2026-10-17T12:00:00+00:00", 14, "America/Havana", "2026-11-01T00:00:00-04:00"),
        ("2028-02-28T12:00:00+00:00", 1, "UTC", "2028-03-01T00:00:00+00:00"),
        ("2026-11-22T12:00:00+00:00", 0, "UTC", "2026-11-23T00:00:00+00:00"),
    ],
)
def test_a_trial_ends_with_its_last_day(started: str, days: int, zone: str, ends: str) -> None:
    result = day_ends(at(started), zone, after=days)
    assert result == at(ends)
    assert result.tzinfo is UTC


@settings(max_examples=200, deadline=None)
@given(
    started=st.datetimes(
        datetime(2024, 1, 1),  # noqa: DTZ001 (hypothesis adds the zone)
        datetime(2037, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
    days=st.integers(0, 400),
    zone=st.sampled_from(ZONES),
)
def test_the_last_instant_belongs_to_the_last_day(started: datetime, days: int, zone: str) -> None:
    end = day_ends(started, zone, after=days)
    last_day = started.astimezone(ZoneInfo(zone)).date() + timedelta(days=days)
    moment = timedelta(microseconds=1)
    assert (end - moment).astimezone(ZoneInfo(zone)).date() == last_day
    assert end.astimezone(ZoneInfo(zone)).date() == last_day + timedelta(days=1)


@pytest.mark.parametrize("name", ["UTC", "Europe/Zurich", "America/Argentina/Ushuaia"])
def test_known_time_zones(name: str) -> None:
    assert find_time_zone(name) == name
    assert find_time_zone(name.lower()) == find_time_zone(name.upper()) == name


def test_each_listed_time_zone_is_found() -> None:
    assert [find_time_zone(name) for name in time_zones()] == sorted(time_zones())


@pytest.mark.parametrize(
    "name", ["", "utc ", "Europe/Nowhere", "../../etc/passwd", "/etc/localtime", "a\0b", "Factory"]
)
def test_other_texts_are_no_time_zones(name: str) -> None:
    assert find_time_zone(name) is None
    with pytest.raises(ValueError, match="unknown time zone"):
        day_ends(datetime(2026, 1, 1, tzinfo=UTC), name)


def test_an_instant_without_offset_or_an_earlier_day_is_refused() -> None:
    with pytest.raises(ValueError, match="offset"):
        day_ends(datetime(2026, 1, 1), "UTC")  # noqa: DTZ001
    with pytest.raises(ValueError, match="-1 days"):
        day_ends(datetime(2026, 1, 1, tzinfo=UTC), "UTC", after=-1)


@pytest.mark.parametrize(
    ("ends", "zone", "told"),
    [
        ("2026-12-08T00:00:00+09:00", "Asia/Tokyo", "the end of 7 December 2026"),
        ("2026-12-08T00:00:00+00:00", "UTC", "the end of 7 December 2026"),
        ("2026-12-25T18:12:00+00:00", "America/Los_Angeles", "25 December 2026, 10:12 PST"),
        # Havana has two 00:00: the day ends with the first
        ("2026-11-01T00:00:00-04:00", "America/Havana", "the end of 31 October 2026"),
    ],
)
def test_an_end_is_told_as_a_day_or_to_the_minute(ends: str, zone: str, told: str) -> None:
    assert ending(at(ends), zone) == told

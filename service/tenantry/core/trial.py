"""When a trial ends and a license warns: whole days of the customer's own calendar (R1).

The day of the signup is day 0. A trial of 14 days runs until day 14 is over, so every end is a
midnight where the customer lives, and summer time moves it by no hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones


@dataclass(frozen=True)
class LicenseDates:
    """The instants that a license names, in UTC; the ends are exclusive."""

    expires_at: datetime
    warn_at: datetime
    grace_until: datetime


def valid_time_zone(name: str) -> bool:
    """Whether `name` is a time zone of the IANA database, such as Europe/Zurich or UTC."""
    return name in _time_zones()


def time_zones() -> list[str]:
    """All of them, in the order of their names."""
    return sorted(_time_zones())


def trial_ends_at(started: datetime, days: int, time_zone: str) -> datetime:
    """The end (exclusive, UTC) of the trial's last day in the customer's `time_zone`.

    `started` is aware; `days` >= 0. ValueError for an unknown zone or a naive `started`.
    """
    if started.tzinfo is None:
        raise ValueError("the start of a trial must say its offset from UTC")
    if days < 0:
        raise ValueError(f"a trial cannot last {days} days")
    zone = _zone(time_zone)
    last_day = started.astimezone(zone).date() + timedelta(days=days)
    return _day_begins(last_day + timedelta(days=1), zone)


def last_day(ends_at: datetime, time_zone: str) -> date:
    """The last day of a trial that ends at `ends_at`, where the customer lives."""
    return (ends_at - timedelta(seconds=1)).astimezone(_zone(time_zone)).date()


def day_of(instant: datetime, time_zone: str) -> date:
    """The day that it is at `instant` where the customer lives."""
    return instant.astimezone(_zone(time_zone)).date()


def in_zone(ends_at: datetime, old: str, new: str) -> datetime:
    """The end of the same last day for somebody who moved from one time zone to another."""
    return _day_begins(last_day(ends_at, old) + timedelta(days=1), _zone(new))


def license_dates(
    expires_at: datetime, *, warn_days: int, grace_days: int, time_zone: str
) -> LicenseDates:
    """The dates of a license that ends at `expires_at`: `warn_days` before and `grace_days` after
    it by the customer's calendar, at the same local time of day.
    """
    return LicenseDates(
        expires_at=expires_at.astimezone(UTC),
        warn_at=move_days(expires_at, -warn_days, time_zone),
        grace_until=move_days(expires_at, grace_days, time_zone),
    )


def move_days(instant: datetime, days: int, time_zone: str) -> datetime:
    """The instant so many days later (or earlier) where the customer lives, at the same local time
    of day, in UTC.
    """
    # aware arithmetic within one zone moves the wall clock, which is what a calendar day means
    return (instant.astimezone(_zone(time_zone)) + timedelta(days=days)).astimezone(UTC)


def _day_begins(day: date, zone: ZoneInfo) -> datetime:
    # fold=0: the first of two midnights; where there is none, the instant the clock jumps over it
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)


def _zone(name: str) -> ZoneInfo:
    if not valid_time_zone(name):
        raise ValueError(f"unknown time zone: {name!r}")
    return ZoneInfo(name)


@cache
def _time_zones() -> frozenset[str]:
    # these are files beside the zones that say nothing about where a customer lives
    return frozenset(available_timezones() - {"Factory", "localtime", "posixrules"})

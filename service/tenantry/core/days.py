"""Days of the customer's own calendar, by which trials, bookings and licenses are counted (R1).

A day ends at midnight where the customer lives, and summer time moves that by no hour. The day of a
signup is day 0: a trial of 14 days runs until day 14 is over.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones


def find_time_zone(typed: str) -> str | None:
    """The time zone's name as the IANA database spells it, such as Europe/Zurich or UTC, in
    whatever case it was typed; None where there is no such zone.
    """
    return _time_zones().get(typed.casefold())


def time_zones() -> list[str]:
    """All of them, in the order of their names."""
    return sorted(_time_zones().values())


def day_ends(at: datetime, time_zone: str, *, after: int = 0) -> datetime:
    """The end (exclusive, UTC) of the day that it is at `at` in the customer's `time_zone`, or of
    the one `after` so many days.

    `at` is aware; `after` >= 0. ValueError for an unknown zone or a naive `at`.
    """
    if at.tzinfo is None:
        raise ValueError("an instant must say its offset from UTC")
    if after < 0:
        raise ValueError(f"{after} days after a day is before it")
    zone = _zone(time_zone)
    return _day_begins(at.astimezone(zone).date() + timedelta(days=after + 1), zone)


def last_day(ends_at: datetime, time_zone: str) -> date:
    """The last day of what ends at `ends_at`, where the customer lives."""
    return (ends_at - timedelta(seconds=1)).astimezone(_zone(time_zone)).date()


def day_of(instant: datetime, time_zone: str) -> date:
    """The day that it is at `instant` where the customer lives."""
    return instant.astimezone(_zone(time_zone)).date()


def written(day: date) -> str:
    """`7 December 2026`."""
    return f"{day.day} {day:%B %Y}"


def ending(ends_at: datetime, time_zone: str) -> str:
    """`the end of 7 December 2026` where the customer lives; the time of day there where it is no
    day's end. What follows "until", on pages and in mail.
    """
    day = written(last_day(ends_at, time_zone))
    if day_ends(ends_at - timedelta(seconds=1), time_zone) == ends_at:
        return f"the end of {day}"
    return f"{day}, {ends_at.astimezone(_zone(time_zone)):%H:%M %Z}"


def in_zone(ends_at: datetime, old: str, new: str) -> datetime:
    """The end of the same last day for somebody who moved from one time zone to another."""
    return _day_begins(last_day(ends_at, old) + timedelta(days=1), _zone(new))


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
    if find_time_zone(name) != name:
        raise ValueError(f"unknown time zone: {name!r}")
    return ZoneInfo(name)


@cache
def _time_zones() -> dict[str, str]:
    # these are files beside the zones that say nothing about where a customer lives
    names = available_timezones() - {"Factory", "localtime", "posixrules"}
    return {name.casefold(): name for name in names}

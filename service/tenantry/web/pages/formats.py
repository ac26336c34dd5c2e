"""Times and durations as people read them. Scripts rewrite times into the reader's own zone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from tenantry.core import days


def iso(at: datetime) -> str:
    """For `datetime` attributes: UTC, milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M:%S} UTC"


def day_and_clock(at: datetime) -> str:
    at = at.astimezone(UTC)
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


def last_day(end: datetime, time_zone: str) -> str:
    """The last day of what ends at `end`, where the customer lives."""
    day = days.last_day(end, time_zone)
    return f"{day.day} {day:%B %Y}"


def ending(end: datetime, time_zone: str) -> str:
    """`the end of 7 December 2026`; the time of day there where it is no day's end."""
    day = last_day(end, time_zone)
    if days.day_ends(end - timedelta(seconds=1), time_zone) == end:
        return f"the end of {day}"
    return f"{day}, {end.astimezone(ZoneInfo(time_zone)):%H:%M %Z}"


def duration(length: timedelta) -> str:
    """`0.4 s`, `14 s`, `2 min 5 s`, `3 h 7 min`; nothing is shorter than 0."""
    seconds = max(length.total_seconds(), 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def code_spans(text: str) -> Markup:
    """`like this` in a docstring becomes code; everything else is text."""
    parts = [escape(part) for part in text.split("`")]
    spans = [Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(parts)]
    return Markup("").join(spans)


FILTERS: dict[str, Callable[..., str]] = {
    "iso": iso,
    "clock": clock,
    "day_and_clock": day_and_clock,
    "last_day": last_day,
    "ending": ending,
    "duration": duration,
    "code_spans": code_spans,
}

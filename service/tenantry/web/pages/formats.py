"""Times and durations as people read them. Scripts rewrite times into the reader's own zone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from markupsafe import Markup, escape

from tenantry.core.days import ending


def iso(at: datetime) -> str:
    """For `datetime` attributes: UTC, milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M:%S} UTC"


def day_and_clock(at: datetime) -> str:
    at = at.astimezone(UTC)
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


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
    "ending": ending,
    "duration": duration,
    "code_spans": code_spans,
}

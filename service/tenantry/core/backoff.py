"""When to try again: later each time, and not everybody at once.

Pure: the draw that spreads waits is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Backoff:
    """Waits that double from `first` to `longest`."""

    first: timedelta
    longest: timedelta

    def wait(self, attempts: int, draw: float) -> timedelta:
        """How long to wait after so many failures in a row (1 or more). `draw` from [0, 1) spreads
        the wait over its upper half, so that those who failed together do not return together.
        """
        return _spread(min(self.first * 2.0 ** min(attempts - 1, 30), self.longest), draw)

    def longest_wait(self, draw: float) -> timedelta:
        """How long to wait for what trying again does not mend; spread as by `wait`."""
        return _spread(self.longest, draw)

    def is_over(self, retry_at: datetime | None, now: datetime) -> bool:
        """Whether the wait that ends at `retry_at` is over. One that would last longer than the
        longest was set by a clock that has been set back since, and binds nobody.
        """
        return retry_at is None or not now < retry_at <= now + self.longest


def has_passed(length: timedelta, since: datetime | None, now: datetime) -> bool:
    """Whether so long has gone by since then; where there was no then, or the clock was set back
    behind it, nothing is waited for.
    """
    return since is None or not timedelta() <= now - since < length


def _spread(wait: timedelta, draw: float) -> timedelta:
    return wait * (0.5 + draw / 2)

"""Time as Kubernetes writes it: UTC, whole seconds. A process has one clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tenantry.adapters.clock import ShiftedClock


def _real() -> datetime:
    return datetime.now(UTC)


_clock: Callable[[], datetime] = _real


def follow(file: Path) -> None:
    """Have the time of a demo in which days pass in seconds."""
    global _clock  # noqa: PLW0603 - like the time itself, it is everybody's
    _clock = ShiftedClock(file)


def now() -> datetime:
    """The time, aware, UTC."""
    return _clock()


def stamp(moment: datetime) -> str:
    """`2026-11-22T17:13:25Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp_now() -> str:
    """The time as Kubernetes writes it."""
    return stamp(now())


def kitchen(moment: datetime) -> str:
    """`5:17PM`, as Argo CD's retry messages end."""
    return moment.strftime("%I:%M%p").lstrip("0")

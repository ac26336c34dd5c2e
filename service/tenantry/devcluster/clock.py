"""Time as Kubernetes writes it: UTC, whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The time, aware, UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """`2026-11-22T17:13:25Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp_now() -> str:
    """The time as Kubernetes writes it."""
    return stamp(now())


def kitchen(moment: datetime) -> str:
    """`5:17PM`, as Argo CD's retry messages end."""
    return moment.strftime("%I:%M%p").lstrip("0")

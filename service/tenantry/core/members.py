"""Members of JSON that others wrote: what is missing or of another type counts as empty."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def object_of(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object; {} where there is none."""
    value = parent.get(name)
    return value if isinstance(value, Mapping) else {}


def objects_of(parent: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The objects of the list; [] where there is none. What is no object is left out."""
    value = parent.get(name)
    several = value if isinstance(value, list) else []
    return [found for found in several if isinstance(found, Mapping)]


def text_of(parent: Mapping[str, Any], name: str) -> str:
    """The text; "" where there is none."""
    value = parent.get(name)
    return value if isinstance(value, str) else ""


def count_of(parent: Mapping[str, Any], name: str) -> int:
    """The whole number; 0 where there is none."""
    value = parent.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def parse_time(value: object) -> datetime | None:
    """Kubernetes' time text as UTC; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
        return parsed.astimezone(UTC) if parsed.tzinfo else None
    except (ValueError, OverflowError):
        return None

"""What an instance reports of itself."""

from __future__ import annotations

from collections.abc import Mapping


def reported_license(body: object, field: str) -> str | None:
    """The license id at `field` of the JSON that an instance answered, such as `license.id`; None
    where there is no text there. Whoever runs the instance may have written anything.
    """
    found = body
    for name in field.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found if isinstance(found, str) and found else None

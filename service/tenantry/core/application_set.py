"""One ApplicationSet of Argo CD, as far as it says why Applications do not appear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenantry.core.members import object_of, objects_of, text_of


@dataclass(frozen=True)
class ApplicationSet:
    """`errors`: why it makes none at the moment; one bad file stops them all. `paths`: the patterns
    of folders or files that it makes them from.
    """

    name: str
    errors: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


def parse_set(body: Mapping[str, Any]) -> ApplicationSet:
    """The set within the API's JSON; tolerant like `core.application`."""
    return ApplicationSet(
        name=text_of(object_of(body, "metadata"), "name"),
        errors=tuple(
            text_of(found, "message")
            for found in objects_of(object_of(body, "status"), "conditions")
            # the condition stays when all is well, and its message then says so
            if text_of(found, "type") == "ErrorOccurred" and text_of(found, "status") == "True"
        ),
        paths=tuple(
            text_of(found, "path")
            for generator in objects_of(object_of(body, "spec"), "generators")
            for member in ("directories", "files")
            for found in objects_of(object_of(generator, "git"), member)
        ),
    )

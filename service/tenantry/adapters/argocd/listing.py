"""What a list or a stream tells of an Application: enough to see that it changed, too little to
judge it by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tenantry.core.application import parse_application

# A parent beside its child is a 500; what is not on Argo CD's own list is dropped without a word.
# No resourceVersion: with it, every write would be an event of the stream.
PATHS = (
    "metadata.name",
    "metadata.deletionTimestamp",
    "status.health",
    "status.sync.status",
    "status.sync.revision",
    "status.operationState.phase",
    "status.operationState.startedAt",
    "status.operationState.finishedAt",
)


@dataclass(frozen=True)
class ListedApplication:
    """One line of the list."""

    name: str
    deleting: bool
    health: str
    sync: str
    revision: str
    phase: str
    started_at: datetime | None
    finished_at: datetime | None


def parse_line(item: Mapping[str, Any]) -> ListedApplication:
    """The line within the API's JSON; tolerant like `core.application`."""
    found = parse_application(item)
    return ListedApplication(
        name=found.name,
        deleting=found.deleting,
        health=found.health,
        sync=found.sync,
        revision=found.revision,
        phase=found.phase,
        started_at=found.started_at,
        finished_at=found.finished_at,
    )

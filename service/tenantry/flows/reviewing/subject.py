"""What a reviewer looks at: one tenant, as main has it and as its branch would make it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tenantry.core.model import TenantSpec
from tenantry.core.review import ChangeKind


@dataclass(frozen=True)
class Subject:
    """One tenant of a review. Files are by path relative to its folder, `local/` included."""

    customer_id: str
    kinds: Sequence[ChangeKind]  # of the changes that wait
    actors: Sequence[str]  # who asked for them
    before: TenantSpec | None  # as main has it; None: main has no such tenant
    after: TenantSpec
    files_before: Mapping[str, bytes]
    files_after: Mapping[str, bytes]
    edited: Sequence[str] = ()  # files that a reviewer edited on the branch or on main

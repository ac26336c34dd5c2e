"""Tell Argo CD that a shard's branch moved, so that it does not wait for its next poll. A hint,
never needed: what is lost is found again by the watcher, or by Argo CD itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic

import structlog

from tenantry.adapters.argocd import ArgoCD
from tenantry.core import shards
from tenantry.core.errors import TenantryError
from tenantry.core.record import RECORD
from tenantry.flows.service import Cell

log = structlog.get_logger()
WITHIN = 5.0  # seconds, after which no further message is begun: the publisher waits for them


@dataclass(frozen=True)
class Push:
    """A branch that went from one commit (None: it is new) to another, and what paths changed."""

    branch: str
    before: str | None
    after: str
    paths: list[str] = field(default_factory=list)


def of_tenants(
    cell: Cell,
    folders: Iterable[str],
    after: Mapping[str, str],
    before: Mapping[str, str | None] = {},
) -> list[Push]:
    """What to tell of new tenants' folders: one push of each shard's branch that has some. `after`
    and `before` say where branches are and were; a branch without `after` did not move.
    """
    pushes: dict[str, Push] = {}
    for folder in folders:
        branch = shards.branch_of(folder, cell.shards)
        if branch in after:
            push = Push(branch, before.get(branch), after[branch])
            pushes.setdefault(branch, push).paths.append(f"{folder}/{RECORD}")
    return list(pushes.values())


def announce(cell: Cell, pushes: Iterable[Push]) -> None:
    """Tell the cell's ApplicationSet controller of each push, until it does not hear one or time is
    up.
    """
    if cell.announce is None:
        return
    give_up = monotonic() + WITHIN
    for push in pushes:
        if monotonic() > give_up:
            log.info("nudge.out_of_time", cell=cell.name, branch=push.branch)
            return
        try:
            cell.announce(push.branch, push.before, push.after, push.paths)
        except TenantryError as error:
            log.info("nudge.failed", cell=cell.name, code=error.code, detail=str(error))
            return


def refresh(argocd: ArgoCD, name: str) -> None:
    """Ask Argo CD to compare one Application now."""
    try:
        argocd.refresh(name)
    except TenantryError as error:
        log.info("nudge.failed", application=name, code=error.code, detail=str(error))

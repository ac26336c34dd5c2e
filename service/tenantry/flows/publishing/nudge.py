"""Tell Argo CD that main moved, so that it does not wait for its next poll. A hint, never needed:
what is lost is found again by the watcher, or by Argo CD itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from tenantry.adapters.argocd import ArgoCD
from tenantry.core.errors import TenantryError
from tenantry.flows.service import Cell

log = structlog.get_logger()


def announce(cell: Cell, before: str | None, after: str, folders: Sequence[str]) -> None:
    """Tell the cell's ApplicationSet controller of a push that touched these tenants' folders."""
    if cell.announce is None:
        return
    try:
        cell.announce(before, after, [f"{folder}/tenant.json" for folder in folders])
    except TenantryError as error:
        log.info("nudge.failed", cell=cell.name, code=error.code, detail=str(error))


def refresh(argocd: ArgoCD, name: str) -> None:
    """Ask Argo CD to compare one Application now."""
    try:
        argocd.refresh(name)
    except TenantryError as error:
        log.info("nudge.failed", application=name, code=error.code, detail=str(error))

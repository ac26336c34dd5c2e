"""Branches of shards that are not where their ApplicationSets should find them."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.core.finding import REPAIR, Finding, Kind
from tenantry.flows.auditing.repository import Heads
from tenantry.flows.publishing import shards
from tenantry.flows.service import Cell


def find_misplaced(cell: Cell, heads: Heads) -> Iterator[Finding]:
    """Branches that somebody set elsewhere, and those that had to stay when we published. What
    people merged is followed within seconds, so that is no finding. None, too, while main's own
    history is in question.
    """
    if heads.now is None or heads.known is None or heads.is_halted or heads.is_rewritten:
        return
    standing = shards.look(cell, heads.now)
    for branch in sorted(standing.astray):
        yield _astray(branch, str(standing.branches[branch]))
    for branch in standing.late:
        folders = standing.behind[branch]
        if cell.repository.has_built(standing.branches[branch], heads.known, folders):
            yield _behind(branch, folders)


def _astray(branch: str, commit: str) -> Finding:
    return Finding(
        Kind.SHARD_ASTRAY,
        f"the branch is at {commit}, which is not in main's history, so it does not follow main, "
        "and Argo CD makes no Application for its new tenants",
        f"ask who set it there (git log origin/main..origin/{branch}), then "
        f"`git push --force origin origin/main:refs/heads/{branch}`",
        path=branch,
    )


def _behind(branch: str, folders: list[str]) -> Finding:
    return Finding(
        Kind.SHARD_BEHIND,
        f"the branch does not show what main does in {', '.join(folders)}, so Argo CD makes no "
        "Application for new tenants there",
        f"{REPAIR}; where that does not move it, let the cell's token or key push to shard/*",
        path=branch,
    )

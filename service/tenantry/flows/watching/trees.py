"""What stood in Git where Argo CD looked: content is compared, never commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tenantry.core.application import Application
from tenantry.core.errors import RepositoryError
from tenantry.core.readiness import Trees
from tenantry.flows.service import Cell
from tenantry.flows.watching.watched import Watched


@dataclass(frozen=True)
class TreesAt:
    """Tree ids of tenants' folders and platform versions, at the commits that Argo CD named."""

    at: Mapping[tuple[str, str], str | None]  # (commit, path) -> tree; unknown commits missing
    head: str

    def of(self, tenant: Watched, commit: str | None) -> Trees | None:
        """What stood at the commit; None where the commit is none of ours."""
        if commit is None or (commit, tenant.folder) not in self.at:
            return None
        return Trees(self.at[commit, tenant.folder], self.at[commit, tenant.platform_folder])

    def platform(self, tenant: Watched) -> str | None:
        """What the tenant's platform version is on main."""
        return self.at[self.head, tenant.platform_folder]


def read_trees(cell: Cell, found: Sequence[tuple[Watched, Application | None]]) -> TreesAt:
    """One look into Git for all places that are named; a fetch first where a commit is unknown."""
    repository = cell.repository
    head = repository.head() or repository.fetch()
    if head is None:
        raise RepositoryError("main of the tenants repository is gone")
    named = [
        (tenant, commit)
        for tenant, application in found
        if application
        for commit in (application.compared_commit, application.applied_commit)
        if commit
    ]
    commits = {commit for _, commit in named}
    known = repository.known_commits(commits)
    if known != commits:
        repository.fetch()
        known = repository.known_commits(commits)
    places = {(head, tenant.platform_folder) for tenant, _ in found}
    for tenant, commit in named:
        if commit in known:
            places |= {(commit, tenant.folder), (commit, tenant.platform_folder)}
    return TreesAt(repository.trees(places), head)

"""What a tenants repository needs before its first tenant: the platform version that tenants run,
and the files that Argo CD and reviewers start from. A version that main has is never changed.
"""

from __future__ import annotations

from collections.abc import Mapping

from tenantry.adapters.git import NOT_A_TREE, Change
from tenantry.core import naming
from tenantry.flows.service import Cell, Service

ARGOCD = "argocd"
# GitHub takes these only from a token with a right that publishing does not need: `tenantry init`
WORKFLOWS = ".github/workflows/"


def paths(service: Service, cell: Cell) -> list[str]:
    """What must be looked up on main before anything is said about its foundation."""
    return [naming.platform_folder(service.product.platform), ARGOCD, *cell.founding_files]


def missing(
    service: Service, cell: Cell, main: Mapping[str, str | None], *, with_platform: bool = True
) -> list[Change]:
    """The commits that main lacks before a tenant of the current platform version can stand, or one
    of another.

    `main`: the tree at each of `paths`, as of `TenantsRepository.trees`.
    """
    version = service.product.platform
    changes = []
    if with_platform and main[naming.platform_folder(version)] is None:
        changes.append(add_platform(version, service.platform_files))
    if main[ARGOCD] is None:
        files = {
            path: data
            for path, data in cell.founding_files.items()
            if main[path] is None and not path.startswith(WORKFLOWS)
        }
        changes.append(add_files(files))
    return changes


def add_platform(version: str, files: Mapping[str, bytes]) -> Change:
    """The commit that brings a platform version."""
    return Change(naming.platform_folder(version), files, f"Add platform version {version}\n")


def add_files(files: Mapping[str, bytes]) -> Change:
    """The commit that brings what Argo CD and reviewers start from, by path."""
    return Change("", files, "Add what Argo CD and reviewers need to follow this repository\n")


def platform_files(
    service: Service, cell: Cell, main: Mapping[str, str | None], version: str
) -> Mapping[str, bytes]:
    """The files of a platform version as main has them, or as `missing` is about to put them;
    none where it is neither there nor about to be.
    """
    tree = main[naming.platform_folder(version)]
    if tree == NOT_A_TREE:
        return {}
    if tree:
        return cell.repository.files(tree)
    return service.platform_files if version == service.product.platform else {}

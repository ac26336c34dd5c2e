"""`tenantry init`: a tenants repository that works, from an empty one or from one that is there.

Owns: what is added to main, what is written anew, and that each shard's branch is there.

Concurrency: works under the publisher's lease; what fences it is the remote's ref, as everywhere.
After any error, or a kill, it is safe to run again.

Invariant: nothing is removed, and a file that is there is written anew only where that is asked
for. A platform version that is there is never touched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tenantry.adapters.git import Change
from tenantry.core import gittree, naming, owners, shards
from tenantry.core.errors import (
    PlatformRefused,
    PushRefused,
    WrongRepository,
)
from tenantry.core.sources import check_platform
from tenantry.flows.publishing import founding, turn
from tenantry.flows.publishing.founding import ARGOCD
from tenantry.flows.service import Cell

_USUAL = frozenset({"README.md", "LICENSE", "LICENSE.md", ".gitignore", ".gitattributes"})
_FOLDERS = ("tenants", "platform", ARGOCD)  # one of them makes it a tenants repository


@dataclass(frozen=True)
class Site:
    """A cell's repository, and what it shall begin with."""

    cell: Cell
    platform: str  # version that new tenants run
    platform_files: Mapping[str, bytes]
    now: Callable[[], datetime]


@dataclass(frozen=True)
class Wishes:
    """What an operator asks for."""

    owners: Sequence[str] = ()  # none: CODEOWNERS stays as it is
    update: bool = False  # write anew what differs
    anyway: bool = False  # also where it looks like a repository of something else


@dataclass(frozen=True)
class Initialized:
    """What was done, by path, and what was left."""

    head: str
    added: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    branches: list[str] = field(default_factory=list)  # that were made


def initialize(
    site: Site, wishes: Wishes, *, wait: Callable[[float], None] = time.sleep
) -> Initialized:
    """Make the cell's repository complete; changes nothing where it is.

    WrongRepository where it holds something else, PlatformRefused where the product's platform is
    fit for none. LeaseLost where another publisher holds the lease for long, or took it over.
    RepositoryError where the remote does not answer.
    """
    return turn.until_it_lands(site.cell, lambda: _try(site, wishes), wait=wait)


def _try(site: Site, wishes: Wishes) -> Initialized:
    repository = site.cell.repository
    head = repository.fetch()
    plan = _plan(site, wishes, head)
    branches = _missing_branches(site.cell)
    if plan.changes:
        built = repository.build(head, plan.changes, site.now())
        turn.require(site.cell)
        head = built[-1].sha
        _push(site.cell, dict.fromkeys(branches, head))
    elif branches and head:
        turn.require(site.cell)
        moved = repository.move(dict.fromkeys(branches, head))
        for error in moved.errors.values():
            raise error
    return Initialized(str(head), plan.added, plan.updated, plan.differing, branches)


def _push(cell: Cell, branches: Mapping[str, str]) -> None:
    try:
        cell.repository.push(branches)
    except PushRefused as error:
        if "workflow" in str(error):  # GitHub's, and only for what is in that folder
            error.remedy = "for this once, use a token that may write workflows, too"
        raise


def _missing_branches(cell: Cell) -> list[str]:
    known = cell.repository.branches(shards.BRANCHES)
    wanted = map(shards.branch, shards.all_shards(cell.shards))
    return [branch for branch in wanted if branch not in known]


@dataclass
class _Plan:
    """What is to be done to main."""

    changes: list[Change] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)


def _plan(site: Site, wishes: Wishes, head: str | None) -> _Plan:
    plan = _Plan()
    _plan_platform(site, plan, _read_folders(site, head, wishes))
    files = dict(site.cell.founding_files)
    if wishes.owners:
        files[owners.FILE] = owners.with_owners(files[owners.FILE], wishes.owners)
    there = _read_files(site.cell, head, files)
    missing = files.keys() - there.keys()
    differing = {
        path
        for path, blob in there.items()
        if blob != gittree.blob_id(files[path])
        if path != owners.FILE or wishes.owners
    }
    if missing:
        plan.added += sorted(missing)
        plan.changes.append(founding.add_files({path: files[path] for path in missing}))
    if differing and wishes.update:
        plan.updated += sorted(differing)
        plan.changes.append(_update({path: files[path] for path in differing}))
    else:
        plan.differing += sorted(differing)
    return plan


def _plan_platform(site: Site, plan: _Plan, trees: Mapping[str, str | None]) -> None:
    folder = naming.platform_folder(site.platform)
    if trees[folder] is None:
        _require_sound(site, folder)
        plan.added.append(folder)
        plan.changes.append(founding.add_platform(site.platform, site.platform_files))
    elif trees[folder] != gittree.folder_id(site.platform_files):
        plan.differing.append(folder)


def _require_sound(site: Site, folder: str) -> None:
    """PlatformRefused for what the check of the repository would refuse, since once it is there it
    stays. What it builds to is looked at with the first tenant.
    """
    files = {f"{folder}/{path}": content for path, content in site.platform_files.items()}
    if problems := check_platform(files, folder=folder):
        raise PlatformRefused([str(problem) for problem in problems])


def _read_folders(site: Site, head: str | None, wishes: Wishes) -> Mapping[str, str | None]:
    """The trees of the folders that matter; WrongRepository where there is none of them, and
    something else.
    """
    paths = [*_FOLDERS, naming.platform_folder(site.platform)]
    trees = site.cell.repository.trees_at(head, paths)
    if head and not any(trees[folder] for folder in _FOLDERS) and not wishes.anyway:
        _require_empty(site.cell, head)
    return trees


def _require_empty(cell: Cell, head: str) -> None:
    """But for what a forge puts into a new repository, and what would be added anyway."""
    for entry in cell.repository.entries(head):
        if entry.path not in _USUAL and entry.path not in cell.founding_files:
            raise WrongRepository(
                f"{cell.repository.url} holds something else, such as {entry.path}",
                remedy="name an empty repository, or add --yes to put tenants beside what is there",
            )


def _read_files(cell: Cell, head: str | None, files: Mapping[str, bytes]) -> dict[str, str]:
    """The blobs of those files that are there. WrongRepository where something stands in
    their way, which would have to be removed.
    """
    if head is None:
        return {}
    tops = sorted({path.partition("/")[0] for path in files})
    entries = [entry for top in tops for entry in cell.repository.entries(head, top)]
    for entry in entries:
        for path in files:
            if path.startswith(f"{entry.path}/") or entry.path.startswith(f"{path}/"):
                raise WrongRepository(
                    f"{entry.path} is in the way of {path}", remedy="move it away"
                )
    return {entry.path: entry.id for entry in entries if entry.path in files}


def _update(files: Mapping[str, bytes]) -> Change:
    return Change("", files, "Write anew what Argo CD and reviewers need\n")

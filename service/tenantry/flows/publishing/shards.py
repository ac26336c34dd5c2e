"""The shards' branches: which go along with main, and how those that did not follow it.

Owns: where each `shard/<nn>` stands. The publisher moves those that a batch touches in its push of
main. What people merged, and what could not go along, follows here, to main's head.

Invariant: a branch moves forward only. One that main's history does not have was set by somebody,
who is asked: it is found by the audit and never forced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from tenantry.core import shards
from tenantry.core.errors import HistoryRewritten, NotPushed, TenantryError
from tenantry.flows.publishing import history, nudge
from tenantry.flows.publishing.nudge import Push
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()
Seen = tuple[str, Mapping[str, str]]  # main's head, and the branches


@dataclass
class Along:
    """The branches that go along with main in the pushes of one batch."""

    cell: Cell
    left_out: set[str] = field(default_factory=set)  # main did not land with these

    def moves(self, commits: Mapping[str, str], *, founded: str | None) -> dict[str, str]:
        """By branch the commit that it moves to. `commits` by the folder that they touch, in main's
        order; `founded` is the commit that founded the repository, if one just did: so that no set
        watches what is not there, all branches begin at it.
        """
        every = shards.all_shards(self.cell.shards) if founded else ()
        found = {shards.branch(shard): str(founded) for shard in every}
        for folder, commit in commits.items():
            found[shards.branch_of(folder, self.cell.shards)] = commit
        return {branch: found[branch] for branch in found.keys() - self.left_out}

    def leave_out(self, error: NotPushed) -> None:
        """Push without those that a push may have failed because of."""
        if error.branches:
            self.left_out |= error.branches
            named = sorted(error.branches)
            log.warning("shards.left_out", cell=self.cell.name, branches=named, detail=str(error))

    def catch_up(self) -> None:
        """Let what was left out follow, as far as it can: main is where it should be either way."""
        try:
            if self.left_out and (head := self.cell.repository.head()):
                move_late(self.cell, look(self.cell, head))
        except TenantryError as error:
            log.warning("shards.not_followed", cell=self.cell.name, detail=str(error))


@dataclass(frozen=True)
class Standing:
    """Where the branches are, seen from a commit of main."""

    head: str
    branches: Mapping[str, str | None]  # commit of each; None where there is none
    behind: Mapping[str, list[str]]  # by branch: folders that are not as they are at `head`
    astray: frozenset[str]  # branches that are not in main's history

    @property
    def late(self) -> list[str]:
        """The branches that may follow."""
        return [branch for branch in self.behind if branch not in self.astray]


def look(cell: Cell, head: str) -> Standing:
    """Where the cell's branches are, as last fetched. A few processes for all."""
    known = cell.repository.branches(shards.BRANCHES)
    folders = {
        shards.branch(shard): shards.folders(shard, cell.shards)
        for shard in shards.all_shards(cell.shards)
    }
    branches = {branch: known.get(branch) for branch in folders}
    commits = {commit for commit in branches.values() if commit}
    outside = cell.repository.commits_outside(head, commits)
    return Standing(
        head,
        branches,
        _behind(cell, head, branches, folders),
        frozenset(branch for branch, commit in branches.items() if commit in outside),
    )


def follow_main(service: Service, cell: Cell, seen: Seen | None = None) -> Seen | None:
    """Have the branches follow main as the remote has it, whoever wrote to it. What was `seen` then
    is given back for the next time, when it saves the work if it is all the same; None where
    something is left to do. Nothing is moved while main's history is in question.

    RepositoryError where the remote does not answer.
    """
    try:
        _, head = history.fetch(service, cell)
    except HistoryRewritten:
        return None  # the publisher says so, and an operator decides
    if head is None:
        return None
    now = (head, cell.repository.branches(shards.BRANCHES))
    if now == seen:
        return now
    standing = look(cell, head)
    return now if not standing.late or _move_as_publisher(cell, standing) else None


def move_late(cell: Cell, standing: Standing) -> bool:
    """Move the branches that are behind, and tell Argo CD; whether all moved."""
    if not standing.late:
        return True
    moved = cell.repository.move(dict.fromkeys(standing.late, standing.head))
    for branch, error in moved.errors.items():
        log.warning("shards.not_moved", cell=cell.name, branch=branch, detail=str(error))
    log.info("shards.followed", cell=cell.name, branches=sorted(moved.before), head=standing.head)
    nudge.announce(
        cell,
        (
            Push(branch, before, standing.head, standing.behind[branch])
            for branch, before in moved.before.items()
        ),
    )
    return not moved.errors


def _move_as_publisher(cell: Cell, standing: Standing) -> bool:
    """The same, as the one that publishes; False where another is at it."""
    lease = cell.lease.of_another()
    if not lease.take():
        return False
    try:
        with lease.kept():
            return move_late(cell, standing)
    finally:
        lease.release()


def _behind(
    cell: Cell,
    head: str,
    branches: Mapping[str, str | None],
    folders: Mapping[str, Sequence[str]],
) -> dict[str, list[str]]:
    """By branch the folders that differ; all of them where there is no branch."""
    there = {branch: commit for branch, commit in branches.items() if commit}
    asked = [
        (commit, folder)
        for branch, own in there.items()
        for folder in folders[branch]
        for commit in {own, head}
    ]
    trees = cell.repository.trees(asked)
    behind = {
        branch: [each for each in folders[branch] if trees[own, each] != trees[head, each]]
        for branch, own in there.items()
    }
    behind |= {branch: list(folders[branch]) for branch in branches.keys() - there.keys()}
    return {branch: behind[branch] for branch in sorted(behind) if behind[branch]}

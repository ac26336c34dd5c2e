"""The tenants repository: a clone that is read, built on and pushed from.

Concurrency: one process uses one clone, for its publisher and its watcher. What talks to the remote
or builds takes turns; reading waits only while a clone that failed is looked at or made anew.

Do not: pass a value that a person typed to git, or replay commits after a rejection (read the rows
again and build anew).
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path

from tenantry.adapters.git import commits, objects
from tenantry.adapters.git.access import Access
from tenantry.adapters.git.clone import Clone, tracking
from tenantry.adapters.git.commits import Change, Commit
from tenantry.adapters.git.objects import Entry, Place
from tenantry.adapters.git.remote import Before, Moved, Remote
from tenantry.core.errors import RepositoryError

TREES_KEPT = 64  # platform versions, and `local/` of the tenants that were published last


class TenantsRepository:
    """One remote, and the branch that is built on, called main. `deadline` is in seconds, for each
    exchange with the remote and for each git that works here alone; what brings or reads all there
    is may take much longer.
    """

    def __init__(
        self,
        url: str,
        clone: Path,
        *,
        branch: str = "main",
        author: str = "Tenantry <tenantry@localhost>",
        deadline: float = 60.0,
        access: Access | None = None,
    ) -> None:
        self.url = url
        self.branch = branch
        self._author = author
        self._clone = Clone(url, clone, deadline=deadline)
        self._remote = Remote(url, branch, access or Access(), deadline=deadline)
        self._files = lru_cache(TREES_KEPT)(partial(objects.read_files, self._clone))
        self._built: str | None = None  # what push sends
        self._turn = threading.Lock()

    def fetch(self) -> str | None:
        """Learn what the remote has; its head, or None where the branch does not exist yet."""
        with self._turn:
            self._clone.repair()
            self._remote.fetch(self._clone)
            self._clone.tidy()
        return self.head()

    def head(self) -> str | None:
        """The head as last seen, without asking the remote."""
        return self._clone.resolve(tracking(self.branch))

    def branches(self, prefix: str) -> dict[str, str]:
        """The commit of each branch below `prefix`, which ends in a slash, as last seen."""
        asked = ("for-each-ref", "--format=%(refname) %(objectname)", tracking(prefix))
        listed = (line.split() for line in self._clone.must(*asked).decode().splitlines())
        return {ref.removeprefix(tracking("")): commit for ref, commit in listed}

    def known_commits(self, commits: Iterable[str]) -> set[str]:
        """Those of the commits that are known here."""
        asked = list(commits)
        found = objects.look_up(self._clone, (f"{commit}^{{commit}}" for commit in asked))
        return {commit for commit, known in zip(asked, found, strict=True) if known}

    def descends(self, head: str, ancestor: str) -> bool:
        """Whether `ancestor` is in the history of `head`; False where it is not known here."""
        return objects.descends(self._clone, head, ancestor)

    def commits_outside(self, head: str | None, commits: Collection[str]) -> set[str]:
        """Those of the commits that are not in the history of `head` (None: of nothing)."""
        return (
            set(commits) - objects.in_history(self._clone, head, commits) if head else set(commits)
        )

    def trees(self, places: Iterable[Place]) -> dict[Place, str | None]:
        """The id of the tree at each (commit, path), where a commit may be a tree; None where
        nothing is, NOT_A_TREE where something else is. A few processes for all.
        """
        return objects.find_trees(self._clone, list(places))

    def trees_at(self, commit: str | None, paths: Iterable[str]) -> dict[str, str | None]:
        """By path what `trees` has of one commit; None of each where there is no commit."""
        if commit is None:
            return dict.fromkeys(paths)
        return {path: tree for (_, path), tree in self.trees((commit, p) for p in paths).items()}

    def entries(self, commit: str, path: str = "") -> Iterator[Entry]:
        """Every file of a commit, or below `path` in it; paths are from the repository's top."""
        return objects.list_entries(self._clone, commit, path)

    def blobs(self, ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Each id with its bytes, in the order asked. Memory is bounded, whatever their number."""
        return objects.read_blobs(self._clone, ids)

    def sizes(self, ids: Iterable[str]) -> dict[str, int]:
        """Of each id its bytes, which need not be read for that."""
        asked = list(ids)
        return dict(zip(asked, objects.sizes(self._clone, asked), strict=True))

    def files(self, tree: str) -> Mapping[str, bytes]:
        """All files below a tree, by path relative to it. A tree never changes: those that were
        read last are kept. ProductError where they hold too much for a product's files.
        """
        return self._files(tree)

    def same_but(self, tree: str, other: str, name: str) -> bool:
        """Whether two trees differ in nothing but their entry `name`."""
        ours, theirs = (objects.entries_but(self._clone, each, name) for each in (tree, other))
        return ours == theirs

    def last_commit(self, folder: str) -> str:
        """The newest commit of the branch that touched the folder; a merge rather than what it
        brought.
        """
        asked = ("log", "-1", "--first-parent", "--format=%H", tracking(self.branch), "--", folder)
        return self._clone.must(*asked).decode().strip()

    def commits_on(self, folder: str, since: str, until: str) -> list[str]:
        """The commits after `since` up to `until` that touched the folder, newest first; where
        `since` is not known here, the newest only.
        """
        span = (f"{since}..{until}",) if self.known_commits([since]) else ("-1", until)
        return self._clone.must("log", "--format=%H", *span, "--", folder).decode().split()

    def has_built(self, since: str | None, until: str, folders: Sequence[str]) -> bool:
        """Whether of the commits in the history of `until`, and not in that of `since`, one that
        touches the folders was made here: by its author.
        """
        span = f"{since}..{until}" if since else until
        made_here = ("--fixed-strings", f"--author={self._author}")
        asked = ("log", "-1", "--format=%H", *made_here, span, "--", *folders)
        return bool(self._clone.must(*asked).strip())

    def build(self, parent: str | None, changes: Sequence[Change], now: datetime) -> list[Commit]:
        """One commit per change on top of `parent`; in the clone only, nothing is pushed."""
        with self._turn:
            built = commits.build(self._clone, parent, changes, author=self._author, now=now)
            self._built = built[-1].sha
            return built

    def push(self, branches: Mapping[str, str] = {}) -> Before:
        """Move the remote's main forward to what was built last, and `branches` (by short name) to
        their commits; all or none. By branch, where it was.

        Raises PushRejected where a branch moved on (read again and rebuild), PushRefused where the
        server will not have it; after either, nothing landed, and its `branches` are those beside
        main that it may be because of. Any other RepositoryError: the outcome is unknown (fetch and
        look).
        """
        with self._turn:
            if self._built is None:
                raise RepositoryError("push failed: nothing was built")
            # By name, not by the ref: a git whose process was killed may still be moving that one.
            return self._remote.push(self._clone, self._built, branches)

    def propose(self, parent: str, changes: Sequence[Change], now: datetime) -> list[Commit]:
        """One commit per change on top of `parent`, for a branch beside main: in the clone only,
        until `move` takes the branch there. What `push` sends stays what it was.
        """
        with self._turn:
            return commits.build(self._clone, parent, changes, author=self._author, now=now)

    def fork(self, commit: str, other: str) -> str | None:
        """The newest commit that two share; None where they share none."""
        found, base = self._clone.ask("merge-base", commit, other)
        return base.decode().split()[0] if found else None

    def made_by_others(self, since: str | None, until: str) -> dict[str, str]:
        """The commits of a branch up to `until` that were not made here, oldest first, and who
        wrote each: those after `since`, or where that is not known here, those that main lacks.
        """
        known = since if since and self.known_commits([since]) else tracking(self.branch)
        asked = ("log", "--first-parent", "--reverse", "--format=%H%x00%ae%x00%an")
        listed = self._clone.must(*asked, until, f"^{known}").decode(errors="replace").splitlines()
        own = self._author.partition("<")[2].rstrip(">")
        entries = (line.split("\0") for line in listed)
        return {commit: name for commit, email, name in entries if email != own}

    def move(self, branches: Mapping[str, str]) -> Moved:
        """Move the remote's branches (by short name) forward to commits that it has, each for
        itself. RepositoryError where the outcome is unknown.
        """
        with self._turn:
            return self._remote.move(self._clone, branches)

    def remove(self, branch: str, commit: str) -> bool:
        """Remove a branch beside main (short name), if the remote has it at the commit; whether it
        went.
        """
        with self._turn:
            return self._remote.remove(self._clone, branch, commit)

"""The tenants repository: a bare clone that is read, built on and pushed from.

Owns: the clone, its remote, and the wording of commits' authors. Commits are built in the object
database by `git fast-import`; there is no work tree, so a kill leaves nothing stale but a lock,
and a clone with a lock that nobody holds is made anew.

Concurrency: one process uses one clone, for its publisher and its watcher. What fences a push
against other writers is the remote's ref itself: a push names no force, so it lands on the commit
that was built on or not at all.

The clone is this process's own: it is locked, and a process that finds it locked makes another.

Do not: force a push, pass a value that a person typed to git, or replay commits after a rejection
(read the rows again and build anew).
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import git
from git.exc import GitError
from git.remote import PushInfo

from tenantry.adapters import process
from tenantry.core.errors import ProgramTimeout, PushRejected, RepositoryError

BUILD_REF = "refs/tenantry/build"
NO_SUCH_REF = 2  # exit code of `git ls-remote --exit-code`
NO_COMMIT = "0" * 40  # what Git calls the head of a branch that is not there yet
ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "core.hooksPath",
    "GIT_CONFIG_VALUE_0": "/dev/null",
    "GIT_CONFIG_KEY_1": "safe.directory",  # a repository that another user owns, as in a volume
    "GIT_CONFIG_VALUE_1": "*",
}
# How servers say that the branch moved while they took the push; else "remote rejected" is a no.
_RACED = ("cannot lock ref", "failed to update ref", "incorrect old value", "fetch first")
_LANDED = PushInfo.FAST_FORWARD | PushInfo.NEW_HEAD | PushInfo.UP_TO_DATE


class _CleanGit(git.Git):
    """GitPython's runner hands our whole environment to its children; this one does not (R65)."""

    def execute(self, command: Any, *arguments: Any, **options: Any) -> Any:
        argv = process.launcher(ENVIRONMENT) + list(command)
        return super().execute(argv, *arguments, **options)


class _CleanRepo(git.Repo):
    GitCommandWrapperType = _CleanGit


@dataclass(frozen=True)
class Change:
    """One commit: the files that `folder` holds afterwards, beside the sub-folders that it keeps
    (name -> tree id). At the top ("") files are only added.
    """

    folder: str
    files: Mapping[str, bytes]
    message: str
    keeps: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Commit:
    """A commit that was built, and the tree id of the folder it is about."""

    sha: str
    tree: str


class TenantsRepository:
    """One branch of one remote. `deadline` is in seconds for each exchange with the remote."""

    def __init__(
        self,
        url: str,
        clone: Path,
        *,
        branch: str = "main",
        author: str = "Tenantry <tenantry@localhost>",
        deadline: float = 60.0,
    ) -> None:
        self.url = url
        self.branch = branch
        self._wanted_clone = clone
        self._author = author
        self._deadline = deadline
        self._claimed: Path | None = None
        self._claiming = threading.Lock()
        self._is_checked = False
        self._is_suspect = False  # something failed in the clone: look at it before it is used
        self._files: dict[str, Mapping[str, bytes]] = {}  # by tree; platform versions and local/
        self._exchange = threading.Lock()  # of the two threads that may talk to the remote

    def fetch(self) -> str | None:
        """Learn what the remote has; its head, or None where the branch does not exist yet."""
        with self._exchange:
            self._ensure_clone()
            self._fetch()
        return self.head()

    def _fetch(self) -> None:
        with closing(_CleanRepo(self._clone)) as repo:
            try:
                repo.remote().fetch(
                    f"+refs/heads/*:{self._tracking('*')}",
                    prune=True,
                    kill_after_timeout=self._deadline,
                )
            except GitError as error:
                self._is_suspect = True
                raise RepositoryError(f"fetch failed: {_words(error)}") from error

    def head(self) -> str | None:
        """The head as last seen, without asking the remote."""
        found = self._git("rev-parse", "--verify", "--quiet", self._tracking(self.branch))
        return found.stdout.decode().strip() or None

    def known_commits(self, commits: Iterable[str]) -> set[str]:
        """Those of the commits that are known here."""
        asked = list(commits)
        found = self._look_up(f"{commit}^{{commit}}" for commit in asked)
        return {commit for commit, known in zip(asked, found, strict=True) if known}

    def object_ids(self, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str | None]:
        """What stands at each (commit, path): of a folder its tree id; None where nothing is.
        One process for all.
        """
        asked = list(places)
        found = self._look_up(f"{commit}:{path}" for commit, path in asked)
        return dict(zip(asked, found, strict=True))

    def files(self, tree: str) -> Mapping[str, bytes]:
        """All files below a tree, by path relative to it. A tree never changes: read once."""
        if tree not in self._files:
            listed = self._must("ls-tree", "-r", "-z", "--name-only", tree)
            names = [name for name in listed.decode().split("\0") if name]
            asked = "".join(f"{tree}:{name}\n" for name in names)
            content = self._must("cat-file", "--batch", stdin=asked.encode())
            self._files[tree] = dict(zip(names, _objects(content), strict=True))
        return self._files[tree]

    def same_but(self, tree: str, other: str, name: str) -> bool:
        """Whether two trees differ in nothing but their entry `name`."""
        return self._entries_but(tree, name) == self._entries_but(other, name)

    def last_commit(self, folder: str) -> str:
        """The newest commit of the branch that touched the folder."""
        branch = self._tracking(self.branch)
        return self._must("log", "-1", "--format=%H", branch, "--", folder).decode().strip()

    def build(self, parent: str | None, changes: Sequence[Change], now: datetime) -> list[Commit]:
        """One commit per change on top of `parent`; in the clone only, nothing is pushed."""
        marks = self._clone / "tenantry.marks"
        stream = b"".join(self._stream(parent, changes, now))
        with self._exchange:
            self._must("fast-import", "--quiet", "--force", f"--export-marks={marks}", stdin=stream)
        shas = dict(line.split() for line in marks.read_text().splitlines())
        commits = [shas[f":{number}"] for number in range(1, len(changes) + 1)]
        names = (f"{sha}:{change.folder}" for sha, change in zip(commits, changes, strict=True))
        trees = self._look_up(names)
        if None in trees:
            raise RepositoryError("fast-import lost a folder")
        return [Commit(sha, str(tree)) for sha, tree in zip(commits, trees, strict=True)]

    def push(self) -> None:
        """Move the remote's branch forward to what was built last.

        Raises PushRejected where the branch moved on (read again and rebuild), RepositoryError
        where the remote refused or the outcome is unknown (fetch and look).
        """
        with self._exchange, closing(_CleanRepo(self._clone)) as repo:
            try:
                results = repo.remote().push(
                    f"{BUILD_REF}:refs/heads/{self.branch}", kill_after_timeout=self._deadline
                )
            except GitError as error:
                self._is_suspect = True
                raise RepositoryError(f"push failed: {_words(error)}") from error
            if results.error is not None and not list(results):
                raise RepositoryError(f"push failed: {_words(results.error)}")
            for result in results:
                _require_landed(result)
            self._must("update-ref", self._tracking(self.branch), BUILD_REF)

    def _stream(
        self, parent: str | None, changes: Sequence[Change], now: datetime
    ) -> Iterable[bytes]:
        yield b"feature done\n"
        yield f"reset {BUILD_REF}\n".encode() + (f"from {parent}\n\n".encode() if parent else b"\n")
        for number, change in enumerate(changes, start=1):
            stamp = f"{self._author} {int(now.timestamp())} +0000"
            yield f"commit {BUILD_REF}\nmark :{number}\n".encode()
            yield f"author {stamp}\ncommitter {stamp}\n".encode()
            yield _data(change.message.encode())
            yield from _file_commands(change)
        yield b"done\n"

    @property
    def _clone(self) -> Path:
        with self._claiming:
            if self._claimed is None:
                self._claimed, lock = _claim(self._wanted_clone)
                weakref.finalize(self, os.close, lock)
            return self._claimed

    def _ensure_clone(self) -> None:
        """There is a sound clone; a damaged one is made anew, since it holds nothing of its own."""
        if self._is_checked and not self._is_suspect:
            return
        if not self._is_sound():
            shutil.rmtree(self._clone, ignore_errors=True)
            create_bare(self._clone)
            self._must("remote", "add", "origin", self.url)
            self._files.clear()
        self._is_checked, self._is_suspect = True, False

    def _is_sound(self) -> bool:
        if self._git("rev-parse", "--is-bare-repository").stdout.strip() != b"true":
            return False
        if any(self._clone.rglob("*.lock")):
            return False  # left by a git that was killed; nobody else works here
        looked = ("fsck", "--connectivity-only", "--no-dangling", "--no-progress")
        try:
            return not self._is_suspect or self._git(*looked).returncode == 0
        except RepositoryError:
            return False  # not in time: making it anew is quicker

    def _look_up(self, names: Iterable[str]) -> list[str | None]:
        asked = "".join(f"{name}\n" for name in names).encode()
        lines = self._must("cat-file", "--batch-check", stdin=asked).decode().splitlines()
        return [None if line.endswith(" missing") else line.split()[0] for line in lines]

    def _entries_but(self, tree: str, name: str) -> set[bytes]:
        listed = self._must("ls-tree", "-z", tree).split(b"\0")
        return {entry for entry in listed if not entry.endswith(b"\t" + name.encode())}

    def _tracking(self, branch: str) -> str:
        return f"refs/remotes/origin/{branch}"

    def _must(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """What git wrote; where it fails, the clone is looked at before it is used again."""
        completed = self._git(*arguments, stdin=stdin)
        if completed.returncode:
            self._is_suspect = True
            raise RepositoryError(f"git {arguments[0]} failed: {_line(completed.stderr)}")
        return completed.stdout

    def _git(self, *arguments: str, stdin: bytes = b"") -> process.Completed:
        try:
            return process.run(
                ["git", f"--git-dir={self._clone}", *arguments],
                stdin=stdin,
                env=ENVIRONMENT,
                deadline=self._deadline,
                limit=512 * process.MEBIBYTE,
            )
        except ProgramTimeout as error:
            self._is_suspect = True
            raise RepositoryError(str(error)) from error


def remote_head(url: str, branch: str, *, deadline: float = 30.0) -> str | None:
    """The head of a remote's branch, asked without a clone; None where there is no such branch.
    RepositoryError where the remote cannot be read.
    """
    asked = ["git", "ls-remote", "--exit-code", "--", url, f"refs/heads/{branch}"]
    try:
        answer = process.run(asked, env=ENVIRONMENT, deadline=deadline)
    except ProgramTimeout as error:
        raise RepositoryError(str(error)) from error
    if answer.returncode == NO_SUCH_REF:
        return None
    if answer.returncode:
        raise RepositoryError(f"the repository cannot be read: {_line(answer.stderr)}")
    return answer.stdout.decode().split()[0]


def create_bare(path: Path, *, branch: str = "main") -> None:
    """A new empty bare repository, as a Git host makes one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    process.run(
        ["git", "init", "--quiet", "--bare", f"--initial-branch={branch}", str(path)],
        env=ENVIRONMENT,
        deadline=30,
    ).require_success()


def _claim(wanted: Path) -> tuple[Path, int]:
    """The first clone of this name that no other process has, and the open lock that says so."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        clone = wanted if number == 1 else wanted.with_stem(f"{wanted.stem}-{number}")
        lock = os.open(clone.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return clone, lock
    raise AssertionError("unreachable")


def _file_commands(change: Change) -> Iterable[bytes]:
    prefix = f"{change.folder}/" if change.folder else ""
    if change.folder:
        yield f"D {change.folder}\n".encode()
    for name, tree in sorted(change.keeps.items()):
        yield f"M 040000 {tree} {prefix}{name}\n".encode()
    for name, content in sorted(change.files.items()):
        yield f"M 100644 inline {prefix}{name}\n".encode()
        yield _data(content)


def _objects(batch: bytes) -> Iterable[bytes]:
    """What `cat-file --batch` printed: for each object a line that ends in its size, then it."""
    start = 0
    while start < len(batch):
        end = batch.index(b"\n", start)
        size = int(batch[start:end].split()[-1])
        yield batch[end + 1 : end + 1 + size]
        start = end + 1 + size + 1


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)


def _require_landed(result: PushInfo) -> None:
    said = _line(result.summary)
    if result.flags & PushInfo.REJECTED or any(words in said for words in _RACED):
        raise PushRejected(f"push rejected: {said}")
    if not result.flags & _LANDED:
        raise RepositoryError(f"the remote refused the push: {said}")


def _words(error: Exception) -> str:
    return _line(str(getattr(error, "stderr", "") or error))


def _line(text: str) -> str:
    return process.redact(" ".join(text.split()), ())

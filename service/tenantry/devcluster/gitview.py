"""The tenants repository as Argo CD's repo-server sees it: commits, trees and files, read only.

A bare repository on this machine is read in place; anything else is mirrored into a scratch
folder first. Do not: check out, write, or follow symbolic links of the repository.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from tenantry.adapters import process
from tenantry.adapters.git import ENVIRONMENT
from tenantry.core.errors import RepositoryError

KEPT_SNAPSHOTS = 4
FILE_MODES = ("100644", "100755")


@dataclass(frozen=True)
class Entry:
    """One line of a tree: mode, `blob` or `tree`, object id."""

    mode: str
    kind: str
    sha: str


@dataclass(frozen=True)
class Snapshot:
    """Everything that one commit holds, by path."""

    commit: str
    entries: Mapping[str, Entry]

    @cached_property
    def _paths(self) -> list[str]:
        return sorted(self.entries)

    def tree(self, path: str) -> str | None:
        """The folder's tree id; None where there is no such folder."""
        entry = self.entries.get(path)
        return entry.sha if entry is not None and entry.kind == "tree" else None

    def files(self, folder: str) -> dict[str, Entry]:
        """All files below a folder, by full path."""
        prefix = f"{folder}/"
        found: dict[str, Entry] = {}
        for path in self._paths[bisect_left(self._paths, prefix) :]:
            if not path.startswith(prefix):
                break
            if self.entries[path].kind == "blob":
                found[path] = self.entries[path]
        return found

    def match(self, pattern: str) -> list[str]:
        """Paths of files that a glob names; as in Argo CD, `*` stands for slashes, too."""
        return [
            path
            for path in self._paths
            if self.entries[path].kind == "blob" and fnmatchcase(path, pattern)
        ]


class GitView:
    """Reads one repository; safe for several threads. Errors are RepositoryError."""

    def __init__(self, repository: str, *, scratch: Path, deadline: float = 60.0) -> None:
        path = local_path(repository)
        self._git_dir = path or scratch / "mirror.git"
        self._mirrored_from = None if path else repository
        self._deadline = deadline
        self._lock = threading.Lock()
        self._snapshots: dict[str, Snapshot] = {}

    def refresh(self) -> None:
        """Learn what a mirrored repository has; nothing to do for one that is read in place."""
        if self._mirrored_from is None:
            return
        with self._lock:
            if self._git_dir.exists():
                self._git("fetch", "--quiet", "--prune", "origin")
            else:
                arguments = ["clone", "--quiet", "--mirror", self._mirrored_from]
                self._run(["git", *arguments, str(self._git_dir)])

    def resolve(self, revision: str) -> str | None:
        """The commit that a branch, ref or id names; None where there is none."""
        found = self._try_git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        return found.stdout.decode().strip() or None

    def heads(self) -> dict[str, str]:
        """The commit of every branch, by full name; one process for all."""
        listed = self._git("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads/")
        return dict(line.split(" ") for line in listed.decode().splitlines())

    def below(self, commit: str, places: Iterable[str]) -> Snapshot:
        """The paths of one commit that begin with these folders, each with its slash, or files."""
        listed = self._git("ls-tree", "-r", "-z", "--full-tree", commit, "--", *places)
        return Snapshot(commit, _entries(listed))

    def snapshot(self, commit: str) -> Snapshot:
        """All paths of one commit."""
        with self._lock:
            if commit not in self._snapshots:
                listed = self._git("ls-tree", "-r", "-t", "-z", "--full-tree", commit)
                self._snapshots[commit] = Snapshot(commit, _entries(listed))
                for old in list(self._snapshots)[:-KEPT_SNAPSHOTS]:
                    del self._snapshots[old]
            return self._snapshots[commit]

    def read(self, shas: Iterable[str]) -> dict[str, bytes]:
        """The bytes of blobs, by object id; one process for all."""
        wanted = list(dict.fromkeys(shas))
        if not wanted:
            return {}
        answer = self._git("cat-file", "--batch", stdin="".join(f"{sha}\n" for sha in wanted))
        return _blobs(answer)

    def export(self, files: Mapping[str, Entry], into: Path) -> None:
        """Write files of a commit below a folder. Links and submodules are left out."""
        plain = {path: entry for path, entry in files.items() if entry.mode in FILE_MODES}
        contents = self.read(entry.sha for entry in plain.values())
        for path, entry in plain.items():
            target = into / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(contents[entry.sha])

    def _git(self, *arguments: str, stdin: str = "") -> bytes:
        answer = self._try_git(*arguments, stdin=stdin)
        if answer.returncode:
            raise RepositoryError(f"git {arguments[0]}: {answer.stderr.strip()}")
        return answer.stdout

    def _try_git(self, *arguments: str, stdin: str = "") -> process.Completed:
        return self._run(["git", f"--git-dir={self._git_dir}", *arguments], stdin=stdin)

    def _run(self, argv: list[str], *, stdin: str = "") -> process.Completed:
        return process.run(
            argv,
            stdin=stdin.encode(),
            # Argo CD, which this stands in for, reads a remote over http, too; nothing secret is
            # sent to it from here. The service itself lets no such remote in.
            env=ENVIRONMENT | {"GIT_ALLOW_PROTOCOL": "file:http:https:ssh"},
            deadline=self._deadline,
            limit=512 * process.MEBIBYTE,
        )


def local_path(repository: str) -> Path | None:
    """Where a repository is on this machine; None where it is elsewhere."""
    url = urlsplit(repository)
    if url.scheme == "file":
        return Path(url.path)
    return Path(repository) if Path(repository).exists() else None


def _entries(listed: bytes) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for line in listed.decode(errors="surrogateescape").split("\0"):
        if line:
            meta, _, path = line.partition("\t")
            found[path] = Entry(*meta.split(" "))
    return found


def _blobs(answer: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    at = 0
    while at < len(answer):
        end = answer.index(b"\n", at)
        sha, kind, *size = answer[at:end].decode().split(" ")
        if kind != "blob":
            raise RepositoryError(f"git has no file {sha}")
        length = int(size[0])
        found[sha] = answer[end + 1 : end + 1 + length]
        at = end + 1 + length + 1
    return found

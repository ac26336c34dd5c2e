"""Branches that wait for a reviewer in a tenants repository without a forge: read, merged, dropped.

Knows the bare repository and nothing of the service, as a person with git would. Commits are built
in the object database. What stands for a branch is fenced by the commit that the reviewer saw, and
main by the one that was merged with: who moves either meanwhile is never overwritten.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tenantry.adapters.git import program
from tenantry.adapters.process import Completed
from tenantry.core.errors import RepositoryError

REVIEWED = "refs/heads/tenantry/"
MAIN = "refs/heads/main"
BRANCHES_SHOWN = 30
COMMITS_SHOWN = 30  # of a branch
LINES_SHOWN = 2000  # of a branch's difference
LINE_SHOWN = 500  # characters
_BRANCH = re.compile(r"tenantry/[a-z0-9-]+")
_CIPHERTEXT = re.compile(r"([A-Za-z0-9+/]{12})[A-Za-z0-9+/=]{180,}")  # a sealed value has far more
_FILE = "diff --git "
_KINDS = {"+": "added", "-": "removed", "@": "place"}  # by a line's first character
_IDENTITY = {
    f"GIT_{role}_{name}": value
    for role in ("AUTHOR", "COMMITTER")
    for name, value in {"NAME": "Reviewer", "EMAIL": "reviewer@localhost"}.items()
}


class Refused(Exception):
    """A merge or a decline that did not happen: why, for the reviewer."""


@dataclass(frozen=True)
class Line:
    """One line of a difference: `added`, `removed`, `place` or nothing, and its text."""

    kind: str
    text: str


@dataclass(frozen=True)
class FileDifference:
    """What a branch changes in one file."""

    path: str
    lines: list[Line]


@dataclass(frozen=True)
class Review:
    """A branch that main does not have, as its reviewer sees it. Bounded in size."""

    branch: str
    head: str
    subjects: list[str]  # of its commits, oldest first
    files: list[FileDifference]
    lines_left_out: int


class Reviews:
    """The waiting branches of one bare repository on this machine. Safe for several threads.

    Errors of git are RepositoryError.
    """

    def __init__(self, git_dir: Path, *, deadline: float) -> None:
        self._git_dir = git_dir
        self._deadline = deadline

    def waiting(self) -> tuple[list[Review], int]:
        """The branches ahead of main, the one that waits longest first; how many are not shown."""
        main = self._commit(MAIN)
        if main is None:
            return [], 0
        branches = self._ahead_of(main)
        shown = [self._review(main, *one) for one in branches[:BRANCHES_SHOWN]]
        return shown, len(branches[BRANCHES_SHOWN:])

    def merge(self, branch: str, head: str, *, squash: bool) -> str:
        """Have main hold what `branch` holds and drop the branch; main's new commit.

        A merge commit, or one commit for all of the branch's. Refused where the branch is not at
        `head`, the two conflict, or main moves meanwhile.
        """
        self._require(branch, head)
        main = self._commit(MAIN)
        if main is None:
            raise Refused("There is no main branch to merge into.")
        tree = self._merged_tree(main, head)
        parents = ["-p", main] if squash else ["-p", main, "-p", head]
        message = self._squashed(main, head) if squash else f"Merge branch '{branch}'"
        commit = self._git("commit-tree", tree, *parents, "-F", "-", stdin=message).strip()
        self._move(f"update {MAIN} {commit} {main}", f"delete refs/heads/{branch} {head}")
        return commit

    def decline(self, branch: str, head: str) -> None:
        """Drop the branch. Refused where it is not at `head`."""
        self._require(branch, head)
        self._move(f"delete refs/heads/{branch} {head}")

    def _require(self, branch: str, head: str) -> None:
        """The name comes from a URL: nothing but a waiting branch's may reach git."""
        if not _BRANCH.fullmatch(branch):
            raise Refused("This is not the name of a branch that waits for a review.")
        found = self._commit(f"refs/heads/{branch}")
        if found is None:
            raise Refused(f"{branch} is no more: it was merged or declined meanwhile.")
        if found != head:
            raise Refused(f"{branch} has moved since this page was shown. Read it again first.")

    def _ahead_of(self, main: str) -> list[tuple[str, str]]:
        listed = self._git(
            "for-each-ref", "--sort=committerdate", f"--no-merged={main}",
            "--format=%(refname:lstrip=2) %(objectname)", REVIEWED,
        )  # fmt: skip
        found = (line.split(" ") for line in _lines(listed))
        return [(branch, head) for branch, head in found if _BRANCH.fullmatch(branch)]

    def _review(self, main: str, branch: str, head: str) -> Review:
        difference = self._git(
            "diff", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--no-prefix",
            "--abbrev=7", f"{main}...{head}",
        )  # fmt: skip
        lines = _lines(difference)
        files = _files(lines[:LINES_SHOWN])
        return Review(branch, head, self._subjects(main, head), files, len(lines[LINES_SHOWN:]))

    def _subjects(self, main: str, head: str) -> list[str]:
        newest = f"--max-count={COMMITS_SHOWN}"
        listed = self._git("log", "--reverse", newest, "--format=%s", f"{main}..{head}")
        return _lines(listed)

    def _squashed(self, main: str, head: str) -> str:
        first, *others = self._subjects(main, head)
        return "\n\n".join([first, "\n".join(f"* {one}" for one in others)]) if others else first

    def _merged_tree(self, main: str, head: str) -> str:
        done = self._run("merge-tree", "--write-tree", "--name-only", "--no-messages", main, head)
        tree, *conflicts = done.stdout.decode(errors="replace").splitlines() or [""]
        if done.returncode == 1 and conflicts:
            raise Refused(f"It conflicts with main in {', '.join(conflicts)}.")
        _require_success(done)
        return tree

    def _move(self, *changes: str) -> None:
        """All of the refs or none."""
        done = self._run("update-ref", "--stdin", stdin="".join(f"{one}\n" for one in changes))
        if done.returncode:
            raise Refused(f"The repository moved meanwhile. {program.line(done.stderr)}")

    def _commit(self, ref: str) -> str | None:
        done = self._run("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
        return None if done.returncode == 1 else _require_success(done).stdout.decode().strip()

    def _git(self, *arguments: str, stdin: str = "") -> str:
        return _require_success(self._run(*arguments, stdin=stdin)).stdout.decode(errors="replace")

    def _run(self, *arguments: str, stdin: str = "") -> Completed:
        return program.run(
            f"--git-dir={self._git_dir}",
            *arguments,
            stdin=stdin.encode(),
            env=program.environment({}, _IDENTITY),
            deadline=self._deadline,
        )


def _require_success(done: Completed) -> Completed:
    if done.returncode:
        raise RepositoryError(f"git: {program.line(done.stderr)}")
    return done


def _lines(text: str) -> list[str]:
    """By line feeds only: content may hold what else Python takes for the end of a line."""
    return text.removesuffix("\n").split("\n") if text else []


def _files(lines: list[str]) -> list[FileDifference]:
    """A difference, cut where git begins a file: no line of a file's content begins like that."""
    found: list[FileDifference] = []
    for line in lines:
        if line.startswith(_FILE):
            found.append(FileDifference(_path(line), []))
        else:
            found[-1].lines.append(_line(line))
    return found


def _path(header: str) -> str:
    """Without prefixes and renames, the name stands there twice."""
    names = header.removeprefix(_FILE)
    return names[: len(names) // 2]


def _line(text: str) -> Line:
    """Without most of a ciphertext, of which nobody can read anything."""
    shown = _CIPHERTEXT.sub(r"\1…", text)
    kept = shown if len(shown) <= LINE_SHOWN else f"{shown[:LINE_SHOWN]}…"
    return Line(_KINDS.get(text[:1], ""), kept)

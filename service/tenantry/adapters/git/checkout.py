"""A checked-out repository that somebody else made: read only, what changed in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tenantry.adapters.git import program
from tenantry.core.errors import RepositoryError

DEADLINE = 120.0  # seconds for each git


class Checkout:
    """The work tree at `path`, committed or not."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def commit(self, name: str) -> str:
        """The commit that a branch, tag or id names; RepositoryError where it is not here."""
        asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        found = self._lines(*asked, fails=(1, 128))
        if not found:
            raise RepositoryError(
                f"there is no commit {name!r} in {self._path}",
                remedy="check out the whole history (fetch-depth: 0, GIT_DEPTH: 0)",
            )
        return found[0]

    def fork(self, base: str) -> str:
        """The newest commit that HEAD and the commit `base` share."""
        found = self._lines("merge-base", base, "HEAD", fails=(1,))
        if not found:
            raise RepositoryError(
                f"HEAD and {base} share no commit",
                remedy="check out the whole history (fetch-depth: 0, GIT_DEPTH: 0)",
            )
        return found[0]

    def folders(self, commit: str, folder: str) -> list[str]:
        """The folders right below one, as of a commit."""
        listed = self._lines("ls-tree", "-d", "-z", "--full-tree", commit, f"{folder}/")
        return [line.partition("\t")[2] for line in listed]

    def changed(self, since: str, folder: str) -> list[str]:
        """The files below a folder that are not as they were at a commit, untracked ones too."""
        known = self._lines("diff", "--name-only", "--no-renames", "-z", since, "--", folder)
        new = self._lines("ls-files", "--others", "-z", "--", folder)
        return sorted({*known, *new})

    def holding(self, text: str, folder: str, *, commit: str | None = None) -> list[str]:
        """The files below a folder that hold a text, as of a commit or as they lie there now."""
        where = (commit,) if commit else ("--untracked",)
        asked = ("grep", "-l", "-z", "-F", "-e", text, *where, "--", folder)
        head = f"{commit}:" if commit else ""
        return [line.removeprefix(head) for line in self._lines(*asked, fails=(1,))]

    def _lines(self, *arguments: str, fails: Sequence[int] = ()) -> list[str]:
        """What git listed; nothing where it says so by one of the exit codes `fails`."""
        done = program.run("-C", str(self._path), *arguments, deadline=DEADLINE)
        if done.returncode in fails:
            return []
        if done.returncode:
            raise RepositoryError(f"git {arguments[0]} failed: {program.line(done.stderr)}")
        told = done.stdout.decode(errors="replace").replace("\n", "\0")
        return [line for line in told.split("\0") if line]

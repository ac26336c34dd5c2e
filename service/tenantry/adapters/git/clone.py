"""The bare clone: whose it is, whether it is sound, and git in it.

The clone is this process's own: it is locked, and a process that finds it locked makes another. It
holds nothing of its own, so one that is damaged, or of another remote, is made anew.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import threading
import weakref
from pathlib import Path

from tenantry.adapters import process
from tenantry.adapters.git import program
from tenantry.core.errors import ProgramError, RepositoryError

BUILD_REF = "refs/tenantry/build"
LOOK_EVERY = 16  # failed exchanges in a row


class Clone:
    """A bare clone of `url` at `wanted`, or beside it. `deadline`: seconds for each local git."""

    def __init__(self, url: str, wanted: Path, *, deadline: float) -> None:
        self._url = url
        self._wanted = wanted
        self._deadline = deadline
        self._opening = threading.Lock()
        self._claimed: Path | None = None
        self._is_checked = False
        self._is_suspect = False  # something failed here: looked at before the next exchange
        self._failed_exchanges = 0

    @property
    def path(self) -> Path:
        """Its folder; the first time, it is claimed and looked at. RepositoryError where there can
        be none.
        """
        with self._opening:
            if self._claimed is None:
                self._claimed, lock = _claim(self._wanted)
                weakref.finalize(self, os.close, lock)
            if not self._is_checked:
                if not self._is_usable(self._claimed):
                    self._make(self._claimed)
                self._is_checked = True
            return self._claimed

    def repair(self) -> None:
        """Make it anew if something failed in it and it does not prove sound."""
        path = self.path
        with self._opening:
            if self._is_suspect:
                if not (self._is_usable(path) and self._is_whole(path)):
                    self._make(path)
                self._is_suspect = False

    def run(self, *arguments: str, stdin: bytes = b"") -> process.Completed:
        """Git in the clone."""
        try:
            return self._run(self.path, *arguments, stdin=stdin)
        except RepositoryError:
            self._is_suspect = True
            raise

    def must(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """What git wrote; where it fails, the clone is looked at before the next exchange."""
        completed = self.run(*arguments, stdin=stdin)
        if completed.returncode:
            self._is_suspect = True
            said = program.line(completed.stderr)
            raise RepositoryError(f"git {arguments[0]} failed: {said}")
        return completed.stdout

    def exchanged(self, *, well: bool) -> None:
        """How an exchange went. It mostly fails for the remote's sake, and looking costs seconds,
        so the clone is looked at after the first failure, and then after every sixteenth.
        """
        if well:
            self._failed_exchanges = 0
            return
        if self._failed_exchanges % LOOK_EVERY == 0:
            self._is_suspect = True
        self._failed_exchanges += 1

    def _is_usable(self, path: Path) -> bool:
        if not path.is_dir() or any(path.rglob("*.lock")):
            return False  # a lock was left by a git that was killed; nobody else works here
        asked = (
            (("rev-parse", "--is-bare-repository"), "true"),
            (("config", "--get", "remote.origin.url"), self._url),
        )
        try:
            return all(
                self._run(path, *words).stdout.decode().removesuffix("\n") == answer
                for words, answer in asked
            )
        except RepositoryError:
            return False

    def _is_whole(self, path: Path) -> bool:
        try:
            return self._run(path, "fsck", "--no-dangling", "--no-progress").returncode == 0
        except RepositoryError:
            return False  # not in time: making it anew is quicker

    def _make(self, path: Path) -> None:
        try:
            _remove(path)
            create_bare(path)
        except OSError as error:
            raise _unusable(path, error) from error
        except ProgramError as error:
            raise RepositoryError(f"there can be no clone: {program.line(str(error))}") from error
        made = self._run(path, "remote", "add", "origin", self._url)
        if made.returncode:
            raise RepositoryError(f"there can be no clone: {program.line(made.stderr)}")

    def _run(self, path: Path, *arguments: str, stdin: bytes = b"") -> process.Completed:
        return program.run(f"--git-dir={path}", *arguments, stdin=stdin, deadline=self._deadline)


def create_bare(path: Path, *, branch: str = "main") -> None:
    """A new empty bare repository, as a Git host makes one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    process.run(
        ["git", "init", "--quiet", "--bare", f"--initial-branch={branch}", str(path)],
        env=program.ENVIRONMENT,
        deadline=30,
    ).require_success()


def tracking(branch: str) -> str:
    """The ref that holds the remote's branch as last seen."""
    return f"refs/remotes/origin/{branch}"


def _claim(wanted: Path) -> tuple[Path, int]:
    """The first clone of this name that no other process has, and the open lock that says so."""
    try:
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
    except OSError as error:
        raise _unusable(wanted, error) from error
    raise AssertionError("unreachable")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _unusable(path: Path, error: OSError) -> RepositoryError:
    return RepositoryError(
        f"there can be no clone at {path}: {error.strerror}",
        remedy="make TENANTRY_DATA_DIR writable for this user",
    )

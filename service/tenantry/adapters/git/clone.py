"""The bare clone: whose it is, whether it is sound, and git in it.

The clone is this process's own: it is locked, and a process that finds it locked makes another. It
holds nothing of its own, so one that is damaged, or of another remote, is made anew.
"""

from __future__ import annotations

import contextlib
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
PATIENCE = 1800.0  # seconds; for what reads or brings all there is, and stopped begins from nothing


class Clone:
    """A bare clone of `url` at `wanted`, or beside it. `deadline`: seconds for each local git, but
    for those that read all of it.
    """

    def __init__(self, url: str, wanted: Path, *, deadline: float) -> None:
        self._url = url
        self._wanted = wanted
        self._deadline = deadline
        self._opening = threading.Lock()
        self._claimed: Path | None = None
        self._is_checked = False
        self._is_suspect = False  # something failed here: looked at before the next exchange
        self._failed_exchanges = 0

    def open(self) -> Path:
        """Its folder. The first time, it is claimed and looked at, and made where it is not usable.
        RepositoryError where there can be none.
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
        path = self.open()
        with self._opening:
            if self._is_suspect:
                if not (self._is_usable(path) and self._is_whole(path)):
                    self._make(path)
                self._is_suspect = False

    def must(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """What git wrote; where it fails, the clone is looked at before the next exchange."""
        completed = self._run_here(*arguments, stdin=stdin)
        if completed.returncode:
            raise self.failure(f"git {arguments[0]} failed: {program.line(completed.stderr)}")
        return completed.stdout

    def ask(self, *arguments: str, stdin: bytes = b"") -> tuple[bool, bytes]:
        """Git's yes or no (its exit codes 0 and 1), and what it wrote. A complaint is a failure:
        git says "no" and "missing" of what is there and cannot be read, too.
        """
        completed = self._run_here(*arguments, stdin=stdin)
        if completed.returncode not in (0, 1) or completed.stderr:
            raise self.failure(f"git {arguments[0]} failed: {program.line(completed.stderr)}")
        return completed.returncode == 0, completed.stdout

    def resolve(self, ref: str) -> str | None:
        """The commit that a ref names; None where there is no such ref."""
        found, sha = self.ask("rev-parse", "--verify", "--quiet", ref)
        return sha.decode().strip() if found else None

    def failure(self, message: str) -> RepositoryError:
        """An error to raise for what failed in the clone: before the next exchange, it is looked
        at.
        """
        self._is_suspect = True
        return RepositoryError(message)

    def tidy(self) -> None:
        """Pack what has become many files or many packs, if it has. Best effort, but it ends."""
        with contextlib.suppress(RepositoryError):
            self._run(self.open(), "gc", "--auto", "--quiet", deadline=PATIENCE)

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
            looked = self._run(path, "fsck", "--no-dangling", "--no-progress", deadline=PATIENCE)
        except RepositoryError:
            return False  # not in time: making it anew is quicker
        return looked.returncode == 0

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

    def _run_here(self, *arguments: str, stdin: bytes) -> process.Completed:
        try:
            return self._run(self.open(), *arguments, stdin=stdin)
        except RepositoryError:
            self._is_suspect = True
            raise

    def _run(
        self, path: Path, *arguments: str, stdin: bytes = b"", deadline: float | None = None
    ) -> process.Completed:
        seconds = deadline or self._deadline
        return program.run(f"--git-dir={path}", *arguments, stdin=stdin, deadline=seconds)


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

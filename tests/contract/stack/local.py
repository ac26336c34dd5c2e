"""Servers of a tenant's pods, run on this machine: in a folder of their own, which is all that they
may write to, and as a user who is nobody.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.ports import is_open
from tests.postgres import unprivileged_user


def identity() -> tuple[int, int]:
    """User and group that programs run as: oneself, unless that is root."""
    user = unprivileged_user()
    if user is None:
        return os.getuid(), os.getgid()
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder of that user; pytest's own are closed to everyone but root."""
    folder = Path(tempfile.mkdtemp(prefix="tenantry-stack-"))
    try:
        give_away(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def give_away(path: Path) -> None:
    shutil.chown(path, *identity())


def subfolder(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    give_away(made)
    return made


def adapt(source: Path, target: Path, changes: Mapping[str, str]) -> None:
    """Copy a file of configuration with these changes, each of which must be one."""
    text = source.read_text("utf-8")
    for old, new in changes.items():
        assert old in text, f"{source.name} no longer says {old}"
        text = text.replace(old, new)
    target.write_text(text)


def translated(command: list[str], changes: Mapping[str, str]) -> list[str]:
    """A container's command with paths of this machine."""
    for old, new in changes.items():
        command = [word.replace(old, new) for word in command]
    return command


def run(command: list[str], folder: Path, stdin: str = "", **environment: str) -> None:
    """To its end, with these variables besides one's own."""
    user, group = identity()
    subprocess.run(
        command, check=True, cwd=folder, env=os.environ | environment, user=user, group=group,
        input=stdin.encode(), stdout=subprocess.DEVNULL,
    )  # fmt: skip


@contextmanager
def running(command: list[str], folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The server, listening at the port; what it prints is in the folder's `log.txt`."""
    user, group = identity()
    with (folder / "log.txt").open("wb") as log:
        give_away(folder / "log.txt")
        child = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, user=user, group=group
        )
    try:
        _wait_until_open(port, child, folder / "log.txt")
        yield child
    finally:
        child.terminate()
        child.wait(30)


def _wait_until_open(port: int, child: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        if is_open(port):
            return
        try:
            child.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        break
    raise AssertionError(f"{child.args!r} does not listen: {log.read_text()}")

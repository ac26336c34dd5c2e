"""How a step of the set-up speaks, runs programs and remembers what it did."""

from __future__ import annotations

import fcntl
import hashlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOG = Path(".tools/setup.log")  # relative to the checkout


class SetupError(Exception):
    """A step cannot be done: what is wrong, and what a person can do about it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message} ({remedy})")


def say(text: str) -> None:
    """Tell the person, apart from what the program itself prints."""
    print(f"set-up: {text}", file=sys.stderr, flush=True)


@contextmanager
def exclusively(root: Path) -> Iterator[None]:
    """One set-up of a checkout at a time; a second one waits for the first."""
    folder = root / ".tools"
    try:
        folder.mkdir(exist_ok=True)
        lock = (folder / "setup.lock").open("w")
    except OSError as error:
        raise SetupError(
            f"cannot write to {folder}: {error.strerror}", "make the checkout writable"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def step(root: Path, text: str) -> Iterator[None]:
    """Say what is done, and after it how long it took."""
    say(f"{text} …")
    (root / LOG).write_text("")
    start = time.monotonic()
    yield
    say(f"done in {time.monotonic() - start:.0f} s")


def run(
    argv: Sequence[str | Path],
    *,
    root: Path,
    failure: str,
    remedy: str,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a program silently; its output goes to the log. SetupError when it fails."""
    log = root / LOG
    with log.open("ab") as output:
        try:
            code = subprocess.run(
                argv,
                check=False,
                cwd=root,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            ).returncode
        except OSError as error:
            raise SetupError(f"{failure}: {error.strerror}: {argv[0]}", remedy) from error
    if code:
        raise SetupError(f"{failure}: {_last_line(log)}", f"{remedy}; details in {LOG}")


def fingerprint(*parts: str | Path) -> str:
    """One hash of texts and of files' contents."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode()
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


def is_stamped(stamp: Path, value: str) -> bool:
    """Whether the last finished run wrote this very value."""
    return stamp.is_file() and stamp.read_text() == value


def _last_line(log: Path) -> str:
    """The line of a failed program's output that most likely says why."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    raised = [line for line in lines if re.match(r"[A-Z]\w+Error: ", line)]
    errors = [line for line in lines if re.match(r"(error|fatal|e)\b", line, re.IGNORECASE)]
    return (raised or errors or lines or ["no output"])[-1][:300]

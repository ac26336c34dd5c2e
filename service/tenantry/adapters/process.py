"""The one way to run a program.

Owns: starting children, their environment, deadline and output. A child gets argv as a list, an
environment that holds nothing of ours but PATH and what the caller names (R65), its own process
group, and a deadline. When it ends, however it ends, the whole group is killed; what left the group
(`setsid`) lives on, and holds nobody up. What a child reads and writes goes through pipes and
memory, bounded while it runs: nothing of it touches a disk. Known secrets are redacted from its
standard error, which ends up in messages.

Do not: raise on an exit code (callers know what it means), use a shell, pass a secret in argv.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import io
import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast
from urllib.parse import quote

from tenantry.core.errors import ProgramError, ProgramMissing, ProgramTimeout

MEBIBYTE = 1024 * 1024
STDERR_SHOWN = 4000  # characters of standard error that a message may carry


@dataclass(frozen=True)
class Completed:
    """A program that ended: its exit code and what it wrote."""

    program: str
    returncode: int
    stdout: bytes
    stderr: str

    def require_success(self) -> Completed:
        """Itself, or ProgramError with the program's own words."""
        if self.returncode:
            said = self.stderr.strip() or f"exit code {self.returncode}"
            raise ProgramError(f"{self.program}: {said}")
        return self


def run(
    argv: Sequence[str],
    *,
    deadline: float,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    limit: int = 32 * MEBIBYTE,
    secrets: Sequence[str] = (),
) -> Completed:
    """Run `argv` to its end, at most `deadline` seconds, and return what it wrote.

    A child that writes more than `limit` bytes is killed at once. Raises ProgramMissing,
    ProgramTimeout, ProgramError.
    """
    program = Path(argv[0]).name
    pipe = subprocess.PIPE
    with _spawn(argv, stdin=pipe, stdout=pipe, stderr=pipe, env=env, cwd=cwd) as child:
        pipes = _Pipes(child, program, stdin, limit)
        try:
            _wait(child, pipes, deadline)
        except subprocess.TimeoutExpired:
            raise ProgramTimeout(f"{program} did not end within {deadline:g} s") from None
        finally:
            kill_group(child)
        out, err = pipes.drain()
        said = redact(err.decode(errors="replace"), secrets)
        return Completed(program, child.returncode, out, shorten(said, STDERR_SHOWN))


def start(
    argv: Sequence[str], *, env: Mapping[str, str], log: Path, cwd: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a long-running child that writes to `log` and dies with this process."""
    with log.open("ab") as out:
        return _spawn(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=cwd, tied=True
        )


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started and is still in its group, and reap the child."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: of one that ended
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a child may know: where programs are, a fixed language, and `extra`."""
    return {"PATH": search_path(), "LC_ALL": "C.UTF-8", **(extra or {})}


def redact(text: str, secrets: Sequence[str]) -> str:
    """`text` without any of `secrets`, in whatever form a program may repeat them."""
    if text:
        known = {form for secret in secrets if secret for form in _forms(secret)}
        for form in sorted(known, key=len, reverse=True):  # one may be the beginning of another
            text = text.replace(form, "***")
    return text


def shorten(text: str, longest: int) -> str:
    """`longest` characters of it, and a mark where more stood in the middle: what went wrong is
    said first or last.
    """
    if len(text) <= longest:
        return text
    end = longest // 2
    return f"{text[: longest - end]} … {text[-end:]}"


def _forms(secret: str) -> set[str]:
    """As it is, as it stands in a document (base64, JSON), and as a URL or a dump has it."""
    plain = secret.encode()
    encoded = {base64.b64encode(plain).decode(), base64.urlsafe_b64encode(plain).decode()}
    return {
        secret,
        json.dumps(secret)[1:-1],
        quote(secret, safe=""),
        plain.hex(),
        *(form.rstrip("=") for form in encoded),
    }


def search_path() -> str:
    """PATH for children: the programs that `make tools` built, then the machine's."""
    return os.pathsep.join([*_PROGRAM_FOLDERS, *os.get_exec_path()])


def add_program_folder(folder: Path) -> None:
    """Look for programs in `folder` before PATH, from now on."""
    if str(folder) not in _PROGRAM_FOLDERS:
        _PROGRAM_FOLDERS.append(str(folder))


def find_program(name: str, *, remedy: str) -> str:
    """Absolute path of a program; ProgramMissing with the remedy where there is none."""
    found = shutil.which(name, path=search_path())
    if found is None:
        raise ProgramMissing(f"{name} is not installed", remedy=remedy)
    return found


def version_of(argv: Sequence[str]) -> tuple[int, ...]:
    """The first dotted number that the program prints, such as (2, 39, 5); () where none."""
    completed = run(argv, deadline=20)
    match = re.search(
        r"\d+(?:\.\d+)+", completed.stdout.decode(errors="replace") + completed.stderr
    )
    return tuple(int(part) for part in match[0].split(".")) if match else ()


_PROGRAM_FOLDERS: list[str] = []
_PR_SET_PDEATHSIG = 1
_CHUNK = 64 * 1024  # bytes, as much as a pipe holds
_LOOK_EVERY = 0.05  # seconds; only a child whose own child keeps a pipe open waits for it
_ENDS_SOON = 0.0002  # seconds; a child that closed all its pipes, as it does when it ends


def _spawn(
    argv: Sequence[str],
    *,
    stdin: IO[bytes] | int,
    stdout: IO[bytes] | int,
    stderr: IO[bytes] | int,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    tied: bool = False,
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - argv lists of our own making, never a shell
            list(argv),
            bufsize=0,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=clean_environment(env),
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_die_with_parent if tied and sys.platform == "linux" else None,  # noqa: PLW1509
        )
    except FileNotFoundError as error:
        raise ProgramMissing(f"{argv[0]} is not installed") from error
    except OSError as error:
        raise ProgramError(f"{argv[0]} could not be started: {error.strerror}") from error


class _Pipes:
    """What a child is given and what it writes."""

    def __init__(
        self, child: subprocess.Popen[bytes], program: str, given: bytes, limit: int
    ) -> None:
        self._stdin, stdout, stderr = (
            cast("IO[bytes]", pipe) for pipe in (child.stdin, child.stdout, child.stderr)
        )
        self._given = memoryview(given)
        self._out = _Written(stdout, program, limit)
        self._err = _Written(stderr, program, MEBIBYTE)
        self._open = selectors.PollSelector()
        self._open.register(self._stdin, selectors.EVENT_WRITE, self._feed)
        self._open.register(stdout, selectors.EVENT_READ, self._out.read)
        self._open.register(stderr, selectors.EVENT_READ, self._err.read)
        for pipe in (self._stdin, stdout, stderr):
            os.set_blocking(pipe.fileno(), False)

    def are_closed(self) -> bool:
        """Whether the child wants nothing more and says nothing more."""
        return not self._open.get_map()

    def move(self, seconds: float) -> bool:
        """Pass on what can be; whether there was any, within so long. ProgramError: too much."""
        ready = self._open.select(min(seconds, _LOOK_EVERY))
        for key, _ in ready:
            if not key.data():
                self._open.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]
        return bool(ready)

    def drain(self) -> tuple[bytes, bytes]:
        """All that a child wrote that has ended; who else has its pipes is not waited for."""
        self._given = memoryview(b"")
        while not self.are_closed() and self.move(0):
            pass
        return self._out.content.getvalue(), self._err.content.getvalue()

    def _feed(self) -> bool:
        """Whether there is more to give."""
        try:
            given = self._stdin.write(self._given[:_CHUNK])
        except BrokenPipeError:
            return False  # it does not want the rest
        self._given = self._given[given:]
        return bool(self._given)


class _Written:
    """What came out of a pipe so far."""

    def __init__(self, pipe: IO[bytes], program: str, limit: int) -> None:
        self.content = io.BytesIO()
        self._pipe = pipe
        self._program = program
        self._limit = limit

    def read(self) -> bool:
        """Whether there may be more."""
        chunk = self._pipe.read(_CHUNK)
        self.content.write(chunk)
        if self.content.tell() > self._limit:
            raise ProgramError(f"{self._program} wrote more than {self._limit} bytes")
        return bool(chunk)


def _wait(child: subprocess.Popen[bytes], pipes: _Pipes, deadline: float) -> None:
    """Until it ends. It is not reaped: its number is its group's, which is yet to be killed."""
    until = time.monotonic() + deadline
    look = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while os.waitid(os.P_PID, child.pid, look) is None:
        left = until - time.monotonic()
        if left <= 0:
            raise subprocess.TimeoutExpired(child.args, deadline)
        if pipes.are_closed():
            time.sleep(_ENDS_SOON)
        else:
            pipes.move(left)


def _die_with_parent() -> None:
    """Ask Linux for SIGTERM when the parent goes, however it goes (SIGKILL too)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

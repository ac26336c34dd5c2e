"""The one way to run a program.

Owns: starting children, their environment, deadline and output. A child gets argv as a list, an
environment that holds nothing of ours but PATH and what the caller names (R65), its own process
group, and a deadline after which the whole group is killed. Output is bounded in size and known
secrets are redacted from its standard error, which ends up in messages.

Do not: raise on an exit code (callers know what it means), use a shell, pass a secret in argv.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO
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

    Output goes through unnamed temporary files, so a child that writes without end cannot fill
    memory: past `limit` bytes it is an error. Raises ProgramMissing, ProgramTimeout, ProgramError.
    """
    program = Path(argv[0]).name
    with (
        _disk_errors(program),
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        given.write(stdin)
        given.seek(0)
        child = _spawn(argv, stdin=given, stdout=out, stderr=err, env=env, cwd=cwd)
        try:
            _wait(child, deadline)
        except subprocess.TimeoutExpired:
            kill_group(child)
            raise ProgramTimeout(f"{program} did not end within {deadline:g} s") from None
        except BaseException:
            kill_group(child)
            raise
        return Completed(
            program,
            child.returncode,
            _read(out, limit, program),
            redact(_read(err, MEBIBYTE, program).decode(errors="replace"), secrets),
        )


def start(
    argv: Sequence[str], *, env: Mapping[str, str], log: Path, cwd: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a long-running child that writes to `log` and dies with this process."""
    with log.open("ab") as out:
        return _spawn(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=cwd, tied=True
        )


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started, and reap the child."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a child may know: where programs are, a fixed language, and `extra`."""
    return {"PATH": search_path(), "LC_ALL": "C.UTF-8", **(extra or {})}


def redact(text: str, secrets: Sequence[str]) -> str:
    """`text` without any of `secrets`, in whatever form a program may repeat them, and no longer
    than a message should be.
    """
    if text:
        known = {form for secret in secrets if secret for form in _forms(secret)}
        for form in sorted(known, key=len, reverse=True):  # one may be the beginning of another
            text = text.replace(form, "***")
    return text if len(text) <= STDERR_SHOWN else text[:STDERR_SHOWN] + " …"


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


def _spawn(
    argv: Sequence[str],
    *,
    stdin: IO[bytes] | int,
    stdout: IO[bytes],
    stderr: IO[bytes],
    env: Mapping[str, str] | None,
    cwd: Path | None,
    tied: bool = False,
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - argv lists of our own making, never a shell
            list(argv),
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


@contextlib.contextmanager
def _disk_errors(program: str) -> Iterator[None]:
    """What the machine has no room for, as an error of ours: a full disk passes."""
    try:
        yield
    except OSError as error:
        raise ProgramError(f"{program} could not be run: {error.strerror}") from error


def _wait(child: subprocess.Popen[bytes], deadline: float) -> None:
    """As `Popen.wait`, which looks every few milliseconds; Linux can say at once."""
    if not hasattr(os, "pidfd_open"):
        child.wait(deadline)
        return
    ended = os.pidfd_open(child.pid)
    try:
        waiting = select.poll()
        waiting.register(ended, select.POLLIN)
        if not waiting.poll(deadline * 1000):
            raise subprocess.TimeoutExpired(child.args, deadline)
    finally:
        os.close(ended)
    child.wait()


def _die_with_parent() -> None:
    """Ask Linux for SIGTERM when the parent goes, however it goes (SIGKILL too)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _read(file: IO[bytes], limit: int, program: str) -> bytes:
    file.seek(0)
    content = file.read(limit + 1)
    if len(content) > limit:
        raise ProgramError(f"{program} wrote more than {limit} bytes")
    return content

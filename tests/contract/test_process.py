"""The one way to run a program: deadlines, environment, output, redaction."""

from __future__ import annotations

import base64
import errno
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from tenantry.adapters import process
from tenantry.core.errors import ProgramError, ProgramMissing, ProgramTimeout


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_and_exit_code_are_returned() -> None:
    ended = process.run(
        python("import sys; sys.stdout.write(sys.stdin.read()); sys.exit(3)"),
        stdin=b"given",
        deadline=10,
    )
    assert (ended.returncode, ended.stdout) == (3, b"given")
    with pytest.raises(ProgramError, match="exit code 3"):
        ended.require_success()


def test_child_sees_only_what_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "leak")
    ended = process.run(
        python("import os; print(sorted(os.environ))"), env={"GIVEN": "1"}, deadline=10
    )
    assert ended.stdout.decode().strip() == "['GIVEN', 'LC_ALL', 'PATH']"


def test_deadline_ends_the_whole_group(tmp_path: Path) -> None:
    pid_file = tmp_path / "grandchild"
    code = (
        "import subprocess, sys, time;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        f"open({str(pid_file)!r}, 'w').write(str(child.pid));"
        "time.sleep(60)"
    )
    with pytest.raises(ProgramTimeout, match="did not end within"):
        process.run(python(code), deadline=3)
    grandchild = int(pid_file.read_text())
    give_up = time.monotonic() + 10
    while is_running(grandchild) and time.monotonic() < give_up:
        os.sched_yield()
    assert not is_running(grandchild)


def test_endless_output_is_an_error() -> None:
    with pytest.raises(ProgramError, match="wrote more than"):
        process.run(python("print('x' * 5000)"), deadline=10, limit=1000)


def test_secrets_are_redacted_from_standard_error() -> None:
    ended = process.run(
        python("import sys; sys.stderr.write('password hunter2hunter2 refused')"),
        deadline=10,
        secrets=["hunter2hunter2"],
    )
    assert ended.stderr == "password *** refused"


SECRET = "p&ss w\u00f6rd/+=?"


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        json.dumps({"password": SECRET}),
        quote(SECRET, safe=""),
        SECRET.encode().hex(),
    ],
)
def test_secrets_are_redacted_in_whatever_form_a_program_repeats_them(form: str) -> None:
    said = process.redact(f"cannot read {form}: refused", [SECRET])
    assert "***" in said
    assert form not in said
    assert said.endswith("refused")


def test_a_secret_that_begins_like_another_leaves_nothing_of_it() -> None:
    assert process.redact("abcdef-and-more", ["abcdef", "abcdef-and-more"]) == "***"


def test_a_message_is_no_longer_than_a_message() -> None:
    assert len(process.redact("x" * 100_000, [])) < 2 * process.STDERR_SHOWN


def test_no_shell_reads_an_argument() -> None:
    words = ["$(id)", "; exit 3", "`id`", "* ?", "-rf", "two words", ""]
    code = "import sys; sys.stdout.write(repr(sys.argv[1:]))"
    assert process.run([*python(code), *words], deadline=10).stdout.decode() == repr(words)


def test_output_on_standard_error_is_bounded_too() -> None:
    code = f"import sys; sys.stderr.write('x' * {2 * process.MEBIBYTE})"
    with pytest.raises(ProgramError, match="wrote more than"):
        process.run(python(code), deadline=10)


def test_a_machine_without_room_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(ProgramError, match="No space left on device"):
        process.run(python(""), deadline=10)


def test_missing_program_is_named() -> None:
    with pytest.raises(ProgramMissing, match="no-such-program"):
        process.run(["no-such-program"], deadline=1)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"

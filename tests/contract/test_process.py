"""The one way to run a program: deadlines, environment, output, redaction."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

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


def test_launcher_hides_our_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "leak")
    ended = process.run(
        [*process.launcher({"GIVEN": "1"}), *python("import os; print(sorted(os.environ))")],
        env={"CANARY": "leak"},
        deadline=10,
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


def test_missing_program_is_named() -> None:
    with pytest.raises(ProgramMissing, match="no-such-program"):
        process.run(["no-such-program"], deadline=1)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"

"""The one way to run a program: deadlines, environment, output, redaction."""

from __future__ import annotations

import base64
import json
import os
import resource
import signal
import sys
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


SLEEPER = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], {options})
print(child.pid, flush=True)
"""


def test_deadline_ends_the_whole_group(tmp_path: Path) -> None:
    pid_file = tmp_path / "grandchild"
    code = f"{SLEEPER}open({str(pid_file)!r}, 'w').write(str(child.pid))\ntime.sleep(60)"
    with pytest.raises(ProgramTimeout, match="did not end within"):
        process.run(python(code.format(options="")), deadline=3)
    assert_ends(int(pid_file.read_text()))


def test_child_that_ends_takes_its_own_children_along() -> None:
    """Though they hold its output open: git starts such a one to tidy up."""
    ended = process.run(python(SLEEPER.format(options="")), deadline=30)
    assert ended.returncode == 0
    assert_ends(int(ended.stdout))


def test_grandchild_that_left_the_group_holds_nobody_up() -> None:
    """It cannot be caught: nothing ties it to the child any more."""
    ended = process.run(python(SLEEPER.format(options="start_new_session=True")), deadline=30)
    grandchild = int(ended.stdout)
    assert is_running(grandchild)
    os.kill(grandchild, signal.SIGKILL)


def test_child_that_closes_its_output_is_still_waited_for() -> None:
    code = "import os, time\nos.close(1)\nos.close(2)\ntime.sleep(0.1)\nos._exit(7)"
    assert process.run(python(code), deadline=30).returncode == 7


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_endless_output_ends_the_child_at_once(stream: str) -> None:
    code = f"import sys\nwhile True: sys.{stream}.write('x' * 5000)"
    with pytest.raises(ProgramError, match="wrote more than") as caught:
        process.run(python(code), deadline=60, limit=1000)
    assert type(caught.value) is ProgramError


def test_nothing_that_a_child_reads_or_writes_touches_a_disk() -> None:
    code = "import os\nfor fd in range(3): print(os.readlink(f'/proc/self/fd/{fd}'))"
    ended = process.run(python(code), stdin=b"a secret", deadline=30)
    assert [each.partition(":")[0] for each in ended.stdout.decode().split()] == ["pipe"] * 3


def test_more_than_a_pipe_holds_goes_both_ways() -> None:
    given = os.urandom(3 * process.MEBIBYTE)
    code = "import shutil, sys\nshutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
    assert process.run(python(code), stdin=given, deadline=30).stdout == given


def test_child_need_not_read_what_it_is_given() -> None:
    given = bytes(3 * process.MEBIBYTE)
    assert process.run(python("print('done')"), stdin=given, deadline=30).stdout == b"done\n"


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
    ended = process.run(python("import sys; sys.stderr.write('x' * 100_000)"), deadline=10)
    assert len(ended.stderr) < 2 * process.STDERR_SHOWN


def test_of_a_long_text_both_ends_are_kept() -> None:
    assert process.shorten("short", 5) == "short"
    told = f"warning: {'@' * 500} fatal: Host key verification failed."
    found = process.shorten(told, 100)
    assert found.startswith("warning: @")
    assert found.endswith("fatal: Host key verification failed.")
    assert len(found) == 100 + len(" … ")


def test_no_shell_reads_an_argument() -> None:
    words = ["$(id)", "; exit 3", "`id`", "* ?", "-rf", "two words", ""]
    code = "import sys; sys.stdout.write(repr(sys.argv[1:]))"
    assert process.run([*python(code), *words], deadline=10).stdout.decode() == repr(words)


def test_a_machine_without_room_is_an_error_of_ours() -> None:
    in_use = len(list(Path("/proc/self/fd").iterdir()))
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use, allowed[1]))
    try:
        with pytest.raises(ProgramError, match="Too many open files"):
            process.run(python(""), deadline=10)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, allowed)


def test_missing_program_is_named() -> None:
    with pytest.raises(ProgramMissing, match="no-such-program"):
        process.run(["no-such-program"], deadline=1)


def assert_ends(pid: int) -> None:
    give_up = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < give_up:
        os.sched_yield()
    assert not is_running(pid)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"

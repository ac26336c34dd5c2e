"""An operator who runs `tenantry` beside a world, on the same data, and may press Ctrl-C."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.system.world import VECTORS, World

WITHIN = 60.0  # seconds; only what is broken takes them
TENANTRY = [sys.executable, "-m", "tenantry"]
# Pages of two tenants, and before each it says so and waits to be told to go on.
PAUSING = """
import signal, sys
from tenantry.flows.fleet import bulk
signal.signal(signal.SIGINT, signal.default_int_handler)  # though the tests run in the background
bulk.PAGE, pages = 2, bulk.pages
def pause(*arguments):
    for page in pages(*arguments):
        print("page", flush=True)
        sys.stdin.readline()
        yield page
bulk.pages = pause
from tenantry.cli.main import main
main()
"""


class Operator:
    """Runs commands and reads what they say."""

    def __init__(self, world: World) -> None:
        url = world.service.database.engine.url.render_as_string(hide_password=False)
        settings = {"DATA_DIR": str(world.folder / "data"), "DATABASE_URL": url}
        for name, cell in world.service.cells.items():
            settings[f"CELLS__{name.upper()}__REPOSITORY_URL"] = cell.repository.url
            certificate = str(VECTORS / "throwaway-cert.pem")
            settings[f"CELLS__{name.upper()}__SEALING_CERTIFICATE"] = certificate
            settings[f"CELLS__{name.upper()}__SHARDS"] = str(cell.shards)
        named = {f"TENANTRY_{name}": value for name, value in settings.items()}
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(world.folder), **named}

    def start(
        self, *arguments: str, program: list[str] = TENANTRY, stderr: int = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*program, *arguments], env=self.environment, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=stderr, start_new_session=True,
        )  # fmt: skip

    def run(self, *arguments: str, answer: str = "") -> tuple[int, str, str]:
        """Exit code, standard output, standard error; `answer` is what is typed."""
        child = self.start(*arguments)
        out, err = child.communicate(answer, timeout=WITHIN)
        return child.returncode, out, err

    def stop_at_page(self, number: int, *arguments: str) -> tuple[int, str]:
        """Run until the command has taken up that page of two tenants, press Ctrl-C, and let it go
        on: exit code and standard error.
        """
        child = self.start(*arguments, program=[sys.executable, "-c", PAUSING])
        assert child.stdin
        assert child.stdout
        for page in range(1, number + 1):
            assert child.stdout.readline() == "page\n", child.communicate()
            if page == number:
                child.send_signal(signal.SIGINT)
            with suppress(BrokenPipeError):  # it may have ended at once
                child.stdin.write("\n")
                child.stdin.flush()
        _, err = child.communicate(timeout=WITHIN)
        return child.returncode, err

    def run_at_terminal(self, *arguments: str) -> tuple[int, str, str]:
        """As `run`, with standard error a terminal."""
        ours, theirs = pty.openpty()
        child = self.start(*arguments, stderr=theirs)
        os.close(theirs)
        shown = bytearray()
        with os.fdopen(ours, "rb", buffering=0) as terminal, suppress(OSError):  # at its end: EIO
            while part := terminal.read(4096):
                shown += part
        out, _ = child.communicate(timeout=WITHIN)
        return child.returncode, out, shown.decode(errors="replace")


def wait(condition: Callable[[], bool], child: subprocess.Popen[str]) -> None:
    """Until it is so, while the child runs."""
    give_up = time.monotonic() + WITHIN
    while not condition():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < give_up
        time.sleep(0.005)


def write_csv(path: Path, count: int) -> Path:
    """A file of so many customers."""
    rows = "".join(f"c{number}@example.com,Company {number}\n" for number in range(count))
    path.write_text("email,company_name\n" + rows)
    return path

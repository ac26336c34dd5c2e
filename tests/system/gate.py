"""A gate that git waits at, a worker's or the host's: so a pass is caught in its middle."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.system.processes import wait_until

_WAIT = """
if [ -e '{folder}/closed' ] && mkdir '{folder}/caught' 2>/dev/null; then
    for _ in $(seq 600); do [ -e '{folder}/closed' ] && sleep 0.05; done
fi
"""


class Gate:
    """Once closed it catches the next that comes by, and only that one, until it is opened."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def close(self) -> None:
        (self._folder / "closed").touch()

    def wait_for_catch(self) -> None:
        wait_until((self._folder / "caught").exists, "somebody is caught at the gate")

    def open(self) -> None:
        """Let who was caught go on, and everybody after."""
        (self._folder / "closed").unlink()
        (self._folder / "caught").rmdir()

    @property
    def script(self) -> str:
        """Lines of shell that pass it."""
        return _WAIT.format(folder=self._folder)


def make_git(folder: Path, gates: Mapping[str, Gate]) -> Path:
    """A folder with a git that passes a gate before it does one of these commands."""
    folder.mkdir()
    shim = folder / "git"
    cases = "".join(f'*" {command} "*) {gate.script} ;;\n' for command, gate in gates.items())
    shim.write_text(f'#!/bin/sh\ncase " $* " in\n{cases}esac\nexec {shutil.which("git")} "$@"\n')
    shim.chmod(0o755)
    return folder

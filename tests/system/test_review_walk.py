"""The walk of docs/review.md, as somebody types it: real processes, and merges by a real Git."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenantry.cli.demo.stack import environment_of
from tenantry.core import naming
from tests.system.processes import wait_until
from tests.system.test_whole_way import Demo, demo

PAGE = Path(__file__).parents[2] / "docs" / "review.md"
LAID_OUT = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WITHIN = 60.0  # seconds; only what is broken takes them


class Desk:
    """Where the page's commands are typed."""

    def __init__(self, running: Demo, folder: Path, customer_id: str) -> None:
        self.running, self.customer_id = running, customer_id
        self.folder = folder / "desk"
        self.folder.mkdir()
        programs = self.folder.parent / "programs"
        programs.mkdir()
        command = programs / "tenantry"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m tenantry "$@"\n')
        command.chmod(0o755)
        cell = "TENANTRY_CELLS__MAIN__"
        person = {"NAME": "Ada", "EMAIL": "ada@example.com"}
        self.environment = {
            **os.environ,
            **environment_of(running.stack),
            **{f"GIT_{who}_{n}": v for who in ("AUTHOR", "COMMITTER") for n, v in person.items()},
            "PATH": f"{programs}:{os.environ['PATH']}",
            "CUSTOMER": customer_id,
            "REPOSITORY": str(running.stack.repository),
            f"{cell}REVIEW_EVERYTHING": "false",
        }

    def type(self, commands: str) -> str:
        done = subprocess.run(
            ["sh", "-e", "-c", commands],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (commands, done.stdout, done.stderr)
        return done.stdout

    def on(self, branch: str, text: str) -> Callable[[], bool]:
        """Whether the tenant's kustomization on a branch says something."""
        path = f"{naming.folder_of(self.customer_id)}/kustomization.yaml"

        def says() -> bool:
            asked = [
                "git",
                f"--git-dir={self.running.stack.repository}",
                "show",
                f"{branch}:{path}",
            ]
            return text in subprocess.run(asked, capture_output=True, text=True, check=False).stdout

        return says


@pytest.mark.timeout(240)
def test_the_walk_of_the_documentation(tmp_path: Path) -> None:
    walk = PAGE.read_text().partition("## The walk")[2].partition("\n## ")[0]
    look, merge, ask, squash, ask_again, rebase, decline = LAID_OUT.findall(walk)
    with demo(tmp_path, review=True) as running:
        signed_up = running.sign_up(1)
        customer_id: str = signed_up["customer"]["customer_id"]
        desk = Desk(running, tmp_path, customer_id)
        branch = f"tenantry/{customer_id}"
        wait_until(
            lambda: running.status_of(signed_up)["status"] == "awaiting_review",
            "the signup waits",
            within=WITHIN,
        )
        assert desk.on(branch, "plans/starter")()
        assert "new tenant" in desk.type(look).lower()
        desk.type(merge)
        running.wait_until_ready(signed_up)

        before = licensed(running, customer_id)
        assert "waits on" in desk.type(ask)
        wait_until(desk.on("main", "plans/starter"), "main has it", within=WITHIN)
        wait_until(lambda: licensed(running, customer_id) != before, "it passes", within=WITHIN)
        renewed = licensed(running, customer_id)
        wait_until(desk.on(branch, renewed), "the branch follows", within=WITHIN)
        assert desk.on("main", "plans/starter")()
        desk.type(squash)
        wait_until(lambda: licensed(running, customer_id) != renewed, "its license", within=WITHIN)
        running.wait_until_ready(signed_up)

        desk.type(ask_again)
        wait_until(desk.on(branch, "plans/enterprise"), "it waits again", within=WITHIN)
        desk.type(rebase)
        wait_until(desk.on("main", '"local"'), "local/ is taken up", within=WITHIN)
        running.wait_until_ready(signed_up)

        listed = desk.type(decline)
        assert "declined by operator" in listed
        assert desk.on("main", "plans/enterprise")()
        running.check(signed_up["license"]["jwt"])


def licensed(running: Demo, customer_id: str) -> Any:
    """The license that main's folder names."""
    path = f"{naming.folder_of(customer_id)}/kustomization.yaml"
    found = re.search(r"license-version: \"?([0-9a-f-]{36})", running.git("show", f"main:{path}"))
    assert found, running.git("show", f"main:{path}")
    return found[1]

"""The walk of docs/upgrade-walk.md, as somebody types it: from a signup to paid and ready."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tenantry.cli.demo_stack import environment_of
from tenantry.core import naming
from tests.programs import require
from tests.system.processes import wait_until
from tests.system.test_whole_way import Demo, demo

PAGE = Path(__file__).parents[2] / "docs" / "upgrade-walk.md"
LAID_OUT = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WITHIN = 60.0  # seconds; only what is broken takes them


class Desk:
    """Where the page's commands are typed."""

    def __init__(self, running: Demo, folder: Path) -> None:
        self.folder = folder / "desk"
        self.folder.mkdir()
        command = folder / "programs" / "tenantry"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m tenantry "$@"\n')
        command.chmod(0o755)
        self.environment = {
            **os.environ,
            **environment_of(running.stack),
            "PATH": f"{command.parent}:{os.environ['PATH']}",
            "SIGNUP": running.stack.signup_url,
            "REPOSITORY": str(running.stack.repository),
            "BILLING_SECRET": str(running.stack.billing_secret),
        }

    def type(self, commands: str) -> str:
        done = subprocess.run(
            ["sh", "-e", "-c", commands],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (commands, done.stdout, done.stderr)
        return done.stdout


@pytest.mark.timeout(240)
def test_the_walk_of_the_documentation(tmp_path: Path) -> None:
    for program in ("curl", "openssl"):
        require(program)
    walk = PAGE.read_text().partition("## The walk")[2]
    sign_up, look, pay, shown, ready, change_mind = LAID_OUT.findall(walk)
    with demo(tmp_path) as running:
        desk = Desk(running, tmp_path)
        desk.type(sign_up)
        customer_id = (desk.folder / "customer").read_text().strip()
        assert f"{customer_id}  trialing" in desk.type(look)
        folder = naming.folder_of(customer_id)
        before = running.git("rev-list", "--count", "main", "--", folder)
        desk.type(pay)
        told = desk.type(shown)
        assert int(running.git("rev-list", "--count", "main", "--", folder)) == int(before) + 1
        assert f"{folder}/kustomization.yaml" in told
        on_main = running.git("show", f"main:{folder}/kustomization.yaml")
        assert "plans/professional" in on_main
        assert "20Gi" in running.git("grep", "-h", "20Gi", "main", "--", folder)
        said = desk.type(ready)
        assert f"{customer_id}  active" in said
        assert said.count("paid professional until") == 1
        wait_until(
            lambda: '"professional"' in running.ask(customer_id).text,
            "the instance runs with it",
            within=WITHIN,
        )
        decided = desk.type(change_mind)
        assert f"{customer_id}  cancelled" in decided
        assert f"{customer_id}  active" in decided.rpartition(f"{customer_id}  cancelled")[2]
        running.check()

"""The walk of docs/upgrade-walk.md, as somebody types it: from a signup to paid and ready."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
import requests

from tenantry.adapters.product_folder import read_product_folder
from tenantry.core import naming
from tests.programs import require
from tests.system.processes import wait_until
from tests.system.test_whole_way import Demo, demo

PAGE = Path(__file__).parents[2] / "docs" / "upgrade-walk.md"
LAID_OUT = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CLEAN = {name: os.environ[name] for name in ("HOME", "PATH")}
WITHIN = 60.0  # seconds; only what is broken takes them


class Desk:
    """A terminal where `make demo` was typed: each command in a shell of its own, which begins as
    the page says.
    """

    def __init__(self, running: Demo, folder: Path, opening: str) -> None:
        self.opening = opening
        self.place = folder / "clone"
        self.place.mkdir()
        (self.place / ".demo").symlink_to(running.stack.data)
        self.folder = running.stack.data / "walk"

    def type(self, commands: str) -> str:
        done = subprocess.run(
            ["sh", "-e", "-c", self.opening + commands],
            cwd=self.place, env=CLEAN, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (commands, done.stdout, done.stderr)
        return done.stdout


@pytest.mark.timeout(240)
def test_the_walk_of_the_documentation(tmp_path: Path) -> None:
    for program in ("curl", "openssl"):
        require(program)
    walk = PAGE.read_text().partition("## The walk")[2]
    opening, sign_up, look, pay, shown, ready, change_mind = LAID_OUT.findall(walk)
    with demo(tmp_path) as running:
        desk = Desk(running, tmp_path, opening)
        assert stat.S_IMODE(running.stack.environment.stat().st_mode) == 0o600
        desk.type(sign_up)
        customer_id = (desk.folder / "customer").read_text().strip()
        assert f"{customer_id}  trialing" in desk.type(look)
        folder = naming.folder_of(customer_id)
        before = running.git("rev-list", "--count", "main", "--", folder)
        check_payment_page(running, customer_id)
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


def check_payment_page(running: Demo, customer_id: str) -> None:
    """Where the demo's links of plans lead to; pressing it: `tests/web/test_payment_page.py`."""
    product = read_product_folder(running.stack.served_product).product
    link = product.plans["professional"].payment_link
    assert link is not None
    page = requests.get(link.replace("{customer_id}", customer_id), timeout=30)
    assert page.status_code == 200
    assert "Pay for a month" in page.text
    assert customer_id in page.text

"""Secrets that a test knows go the whole way, and stand nowhere but where they belong (R65)."""

from __future__ import annotations

import base64
import binascii
import html
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from tenantry.adapters import process
from tests.invariants import check_invariants
from tests.leaks import forms
from tests.system.canary_life import GIT_TOKEN, PASSWORD
from tests.system.world import World, make_world

ROOT = Path(__file__).parents[2]


@pytest.fixture
def lived(tmp_path: Path, database_url: str) -> Iterator[World]:
    """What a process left behind that did everything, well and badly."""
    path = os.pathsep.join([str(ROOT / "service"), str(ROOT)])
    log = tmp_path / "seen" / "log"
    ended = subprocess.run(
        [sys.executable, "-m", "tests.system.canary_life", str(tmp_path), database_url],
        env=os.environ | {"PATH": process.search_path(), "PYTHONPATH": path},
        check=False,
        capture_output=True,
        cwd=ROOT,
    )
    log.write_bytes(ended.stdout + ended.stderr)
    assert ended.returncode == 0, log.read_text()
    world = make_world(tmp_path, database_url)
    yield world
    world.service.database.close()


def test_secrets_stand_nowhere_but_where_they_belong(lived: World) -> None:
    told = json.loads((lived.folder / "told").read_text())
    lived.wait(10)
    lived.publish()
    seen = lived.folder / "seen"
    assert_everything_was_seen(lived, seen)
    check_invariants(
        lived.service,
        canaries=[PASSWORD, GIT_TOKEN],
        only_in_mail=told["only_in_mail"],
        logs=seen,
    )


def assert_everything_was_seen(world: World, seen: Path) -> None:
    """Else nothing would be proven."""
    log, children, commands, answers = (
        (seen / name).read_text() for name in ("log", "children", "commands", "answers")
    )
    for event in ("customer.signed_up", "tenant.published", "mail.sent", "request.failed",
                  "loop.failed", "loop.crashed"):  # fmt: skip
        assert f'"event": "{event}"' in log, event
    assert "***" in log, "nothing was redacted"
    assert '"level": "debug"' in log
    for program in ("git", "kubeseal", "kustomize"):
        assert f"/programs/{program}\n" in children
    assert "PATH=" in children
    for line in range(2, 7):
        assert f"customers.jsonl:{line}: " in commands
    for said in ("cust-", "database.reachable", "main"):
        assert said in commands
    assert 'name="idempotency_key"' in answers, "no form was shown again"


@pytest.mark.parametrize("secret", [PASSWORD, GIT_TOKEN])
def test_a_secret_is_found_whatever_it_is_encoded_with(secret: str) -> None:
    """The search itself."""
    inside = [f"{'x' * before}{secret}{'y' * after}" for before in range(4) for after in range(4)]
    encoded = [
        *(base64.b64encode(text.encode()) for text in inside),
        *(base64.urlsafe_b64encode(text.encode()) for text in inside),
        json.dumps({"a": secret}).encode(),
        json.dumps({"a": secret}, ensure_ascii=False).encode(),
        html.escape(secret).encode(),
        quote(f"a {secret}", safe="").encode(),
        urlencode({"password": secret}).encode(),
        binascii.hexlify(secret.encode()),
        repr({"a": secret}).encode(),
    ]
    for content in encoded:
        assert any(form in content for form in forms(secret)), content

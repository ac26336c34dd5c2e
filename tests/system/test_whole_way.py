"""From a signup over HTTP to a running, licensed instance: real processes, one command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
import yaml

from tenantry import assets, settings, wiring
from tenantry.cli.demo.stack import Stack, settings_of
from tests.invariants import check_invariants
from tests.ports import free_port_and_next
from tests.programs import require
from tests.system.test_sealing import unseal

PASSWORD = "SecurePass123"
BURST = 16
PUSHES = 10  # at most, for a burst


@dataclass(frozen=True)
class Demo:
    """A demo that runs, and what it is reached by."""

    stack: Stack
    process: subprocess.Popen[str]

    def sign_up(self, number: int) -> dict[str, Any]:
        answer = requests.post(
            f"{self.stack.signup_url}/api/customers/signup",
            json={
                "email": f"customer-{number}@example.com",
                "password": PASSWORD,
                "company_name": "Test Corp",
            },
            timeout=60,
        )
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def status_of(self, signed_up: dict[str, Any]) -> dict[str, Any]:
        token = signed_up["deployment"]["status_url"].rpartition("/")[2]
        answer = requests.get(
            f"{self.stack.signup_url}/api/customers/"
            f"{signed_up['customer']['customer_id']}/deployment",
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )
        found: dict[str, Any] = answer.json()
        return found

    def wait_until_ready(self, signed_up: dict[str, Any], within: float = 100) -> dict[str, Any]:
        give_up = time.monotonic() + within
        while (status := self.status_of(signed_up))["status"] != "ready":
            assert time.monotonic() < give_up, status
            time.sleep(0.2)
        return status

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", f"--git-dir={self.stack.repository}", *arguments],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip

    def count_tenant_commits(self) -> int:
        """On main; none where it has no main yet."""
        if not self.git("for-each-ref", "refs/heads/main"):
            return 0
        return int(self.git("rev-list", "--count", "main", "--", "tenants/"))

    def ask(self, customer_id: str) -> requests.Response:
        """What the customer's instance answers to a program."""
        port = self.stack.port + 1
        host = {"Host": f"{customer_id}.localhost:{port}", "Accept": "application/json"}
        return requests.get(f"http://127.0.0.1:{port}/", headers=host, timeout=30)

    def unsealed(self, work_tree: Path) -> dict[str, dict[str, str]]:
        """What the only tenant's Secrets hold, by name. With public tools alone: Git, kustomize,
        kubeseal's recovery.
        """
        subprocess.run(["git", "clone", "-q", self.stack.repository, work_tree], check=True)
        (place,) = work_tree.glob("tenants/*/customer-*")
        built = subprocess.run(
            [require("kustomize"), "build", place], check=True, capture_output=True
        ).stdout
        key = self.stack.keys / "sealing.key"
        return {
            body["metadata"]["name"]: unseal(yaml.safe_dump(body), key)
            for body in yaml.safe_load_all(built)
            if body["kind"] == "SealedSecret"
        }

    def check(self, *canaries: str) -> None:
        """The invariants, through a service built on the demo's own settings."""
        service = wiring.build(settings.load(**settings_of(self.stack)))
        tokens = [path.read_text() for path in self.stack.keys.glob("argocd-*.token")]
        check_invariants(service, canaries=[PASSWORD, *canaries, *tokens], logs=self.stack.logs)
        service.database.close()


@contextmanager
def demo(folder: Path, product: Path | None = None, *, review: bool = False) -> Iterator[Demo]:
    for program in ("kubeseal", "kustomize"):
        require(program)
    shipped = assets.path("tenant_templates")
    stack = Stack(folder / "demo", free_port_and_next(), product or shipped)
    process = subprocess.Popen(
        [sys.executable, "-m", "tenantry", "demo", "--data", str(stack.data),
         "--port", str(stack.port), "--product", str(stack.product),
         *(["--review"] if review else [])],
        stdout=subprocess.PIPE, text=True, cwd=folder,
    )  # fmt: skip
    try:
        assert process.stdout
        while "Ctrl-C" not in (line := process.stdout.readline()):
            assert line or process.poll() is None, "the demo did not start"
        yield Demo(stack, process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.timeout(240)
def test_signup_over_http_becomes_a_running_licensed_tenant(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        signed_up = running.sign_up(1)
        status = running.wait_until_ready(signed_up)
        assert [step["state"] for step in status["steps"]] == ["done"] * 6
        check_instance(running, signed_up)
        check_sealed_license(running, signed_up, tmp_path)
        check_application_page(running, signed_up)
        subjects = [mail_subject(path) for path in wait_for_mails(running, 2)]
        assert len(subjects) == 2
        running.check(signed_up["license"]["jwt"])


def check_instance(running: Demo, signed_up: dict[str, Any]) -> None:
    """The instance's own answer, by the license that it reads."""
    customer_id = signed_up["customer"]["customer_id"]
    answer = running.ask(customer_id)
    assert answer.status_code == 200
    assert customer_id in answer.text
    assert "starter" in answer.text
    assert signed_up["license"]["jwt"] not in answer.text


def check_sealed_license(running: Demo, signed_up: dict[str, Any], folder: Path) -> None:
    """With public tools alone, PyJWT and the public key among them."""
    (data,) = running.unsealed(folder / "checkout").values()
    name = f"customer-{signed_up['customer']['customer_id'].removeprefix('cust-')}"
    assert list((folder / "checkout").glob(f"tenants/*/{name}"))
    token = data["IOTISTIC_LICENSE_KEY"]
    assert token == signed_up["license"]["jwt"]
    public_key = (running.stack.keys / "public-key.pem").read_bytes()
    claims = jwt.decode(token, public_key, algorithms=["EdDSA"], audience="iotistic")
    assert claims["sub"] == signed_up["customer"]["customer_id"] == data["CUSTOMER_ID"]
    assert claims["features"]["maxDevices"] == signed_up["license"]["max_devices"]


def check_application_page(running: Demo, signed_up: dict[str, Any]) -> None:
    page = requests.get(running.stack.stand_in_url, timeout=30).text
    assert signed_up["customer"]["customer_id"] in page
    assert "stand-in" in page


def wait_for_mails(running: Demo, count: int) -> list[Path]:
    give_up = time.monotonic() + 30
    while len(found := sorted(running.stack.mail.glob("*.eml"))) < count:
        assert time.monotonic() < give_up, found
        time.sleep(0.1)
    return found


def mail_subject(path: Path) -> str:
    (line,) = [line for line in path.read_text().splitlines() if line.startswith("Subject:")]
    return line


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_burst_of_signups_is_one_commit_each_and_few_pushes(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        pushes = tmp_path / "pushes"
        hook = running.stack.repository / "hooks" / "post-receive"
        hook.write_text(f"#!/bin/sh\necho push >> '{pushes}'\n")
        hook.chmod(0o755)
        with ThreadPoolExecutor(BURST) as pool:  # all at once
            signed_up = list(pool.map(running.sign_up, range(BURST)))
        customers = {each["customer"]["customer_id"] for each in signed_up}
        assert len(customers) == BURST
        give_up = time.monotonic() + 120
        while running.count_tenant_commits() != BURST:
            assert time.monotonic() < give_up
            time.sleep(0.2)
        assert len(pushes.read_text().splitlines()) <= PUSHES
        for each in signed_up:
            running.wait_until_ready(each, within=200)
        running.check()


@pytest.mark.timeout(240)
def test_killed_demo_leaves_no_process(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tenantry", "demo", "--data", str(tmp_path / "demo"),
         "--port", str(free_port_and_next())],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    while "Ctrl-C" not in (line := process.stdout.readline()):
        assert line or process.poll() is None, "the demo did not start"
    assert len(processes_with(str(tmp_path))) >= 3
    process.kill()
    process.communicate()
    give_up = time.monotonic() + 30
    while left := processes_with(str(tmp_path)):
        assert time.monotonic() < give_up, left
        time.sleep(0.1)


def processes_with(word: str) -> list[str]:
    """Command lines and environments of this machine's processes that name `word`."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        if int(place.name) == os.getpid():
            continue
        try:
            text = (place / "cmdline").read_bytes() + (place / "environ").read_bytes()
        except OSError:
            continue
        if word.encode() in text:
            found.append(f"{place.name} {(place / 'cmdline').read_bytes()!r}")
    return found

"""Node-RED's settings, loaded by node as Node-RED loads them."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from tests.contract.stack.deployment import CONFIG, environment, service_ports
from tests.programs import require

SETTINGS = CONFIG / "node-red/settings.js"
SECRETS = {
    "CUSTOMER_ID": "k7q2m9d4xw",
    "ADMIN_PASSWORD": "v4Kc8TqWmRz2XbN6",
    "NODE_RED_CREDENTIAL_SECRET": "p9Lw3HsYdGf7JtC5",
}
# What authenticate() answers to each pair; then what is left in the environment.
SCRIPT = """
const settings = require(process.argv[1]);
const attempts = JSON.parse(process.argv[2]);
(async () => {
    const answers = [];
    for (const one of attempts) answers.push(await settings.adminAuth.authenticate(...one));
    const known = [];
    for (const name of ["k7q2m9d4xw", "admin"]) known.push(await settings.adminAuth.users(name));
    console.log(JSON.stringify({ settings, answers, known, environment: process.env }));
})();
"""


def node(*attempts: tuple[Any, Any], without: str = "") -> subprocess.CompletedProcess[str]:
    secrets = {name: value for name, value in SECRETS.items() if name != without}
    return subprocess.run(
        [require("node"), "-e", SCRIPT, str(SETTINGS), json.dumps(attempts)],
        env={"PATH": os.environ["PATH"], **secrets},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def loaded() -> Any:
    user, password = SECRETS["CUSTOMER_ID"], SECRETS["ADMIN_PASSWORD"]
    done = node(
        (user, password),
        (user, password + "x"),
        (user, password[:-1]),
        (user, ""),
        (user, None),
        ("admin", password),
        ("", password),
        (None, None),
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_customer_gets_in_and_nobody_else(loaded: Any) -> None:
    right, *wrong = loaded["answers"]
    assert right == {"username": SECRETS["CUSTOMER_ID"], "permissions": "*"}
    assert wrong == [None] * 7
    assert loaded["known"] == [right, None]


def test_flows_find_no_password_of_the_editor_in_the_environment(loaded: Any) -> None:
    left = loaded["environment"]
    assert left["CUSTOMER_ID"] == SECRETS["CUSTOMER_ID"]
    assert not {"ADMIN_PASSWORD", "NODE_RED_CREDENTIAL_SECRET"} & set(left)
    assert loaded["settings"]["credentialSecret"] == SECRETS["NODE_RED_CREDENTIAL_SECRET"]


def test_nothing_is_sent_out_or_brought_in(loaded: Any) -> None:
    settings = loaded["settings"]
    assert settings["telemetry"] == {"enabled": False, "updateNotification": False}
    modules = settings["externalModules"]
    allowed = [modules["autoInstall"], *modules["palette"].values(), *modules["modules"].values()]
    assert allowed == [False] * 5
    assert settings["functionExternalModules"] is False


def test_it_listens_where_its_service_leads(loaded: Any) -> None:
    assert loaded["settings"]["uiPort"] == service_ports("node-red")["http"]
    assert loaded["settings"]["httpAdminRoot"] == "/"


@pytest.mark.parametrize("missing", SECRETS)
def test_without_a_secret_it_does_not_start(missing: str) -> None:
    done = node(without=missing)
    assert done.returncode != 0
    assert f"{missing} is not set" in done.stderr


def test_the_pod_has_what_the_settings_need() -> None:
    assert set(SECRETS) <= environment("node-red")

"""The commands of keys/README.md make keys that production takes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tenantry.flows.keys import load_keyring, load_vault
from tests.programs import require

PAGE = Path(__file__).parents[2] / "keys" / "README.md"


def test_the_documented_commands_make_production_keys(tmp_path: Path) -> None:
    require("openssl")
    commands = re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[0]
    subprocess.run(["sh", "-e"], input=commands, text=True, cwd=tmp_path, check=True, timeout=30)
    assert load_keyring(tmp_path, production=True).signing.algorithm == "EdDSA"
    vault = load_vault(tmp_path, production=True)
    assert vault.unwrap(vault.wrap("value")) == "value"
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o077 == 0

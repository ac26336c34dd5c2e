"""`tenantry license inspect|verify`, as support staff call it (R15)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tenantry.cli.main import cli
from tenantry.core.license import SigningKey, jwks, sign

NOW = datetime.now(UTC).replace(microsecond=0)


def new_key() -> SigningKey:
    private = Ed25519PrivateKey.generate()
    return SigningKey.from_pem(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


KEY = new_key()


def token(key: SigningKey = KEY, **other: Any) -> str:
    def at(days: int) -> int:
        return int((NOW + timedelta(days=days)).timestamp())

    claims = {
        "iss": "acme", "sub": "cust-bcdfghjkmn", "aud": "acme", "jti": "1", "plan": "small",
        "kind": "trial", "features": {"reports": True}, "limits": {}, "iat": at(0), "nbf": at(0),
        "warn_at": at(7), "exp": at(14), "grace_until": at(17),
    }  # fmt: skip
    return sign(claims | other, key)


def run(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(cli, ["license", *arguments], input=stdin, catch_exceptions=False)


def date(days: int) -> str:
    return (NOW + timedelta(days=days)).isoformat()


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    path = tmp_path / "public-key.pem"
    path.write_text(KEY.public_pem)
    return str(path)


def test_verify_says_valid_and_what_for(key_file: str) -> None:
    result = run("verify", token(), "--key", key_file, "--audience", "acme")
    assert result.exit_code == 0
    assert result.stdout.startswith("valid at ")
    assert "13 days left" in result.stdout or "14 days left" in result.stdout
    assert "Whether it was revoked was not looked up" in result.stdout
    for said in ("cust-bcdfghjkmn", "small", KEY.kid, '{"reports": true}', f"{NOW:%Y-%m-%d}"):
        assert said in result.stdout


def test_verify_for_machines(key_file: str) -> None:
    result = run("verify", "-", "--key", key_file, "--json", stdin=f"  {token()}\n")
    said = json.loads(result.stdout)
    assert (said["valid"], said["phase"], said["plan"]) == (True, "valid", "small")
    assert said["expires_at"] == date(14)
    assert said["claims"]["sub"] == "cust-bcdfghjkmn"


def test_a_token_in_a_file_and_a_key_set(tmp_path: Path) -> None:
    (tmp_path / "license.txt").write_text(token() + "\n")
    (tmp_path / "jwks.json").write_text(json.dumps(jwks([new_key().public, KEY.public])))
    arguments = (f"@{tmp_path / 'license.txt'}", "--jwks", str(tmp_path / "jwks.json"))
    assert run("verify", *arguments).exit_code == 0
    (tmp_path / "jwks.json").write_text(json.dumps(jwks([new_key().public])))
    assert run("verify", *arguments).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--at", date(13)], 0, "1 day left (ends soon)"),
        (["--at", date(15)], 1, "expired on"),
        (["--at", date(15), "--in-grace"], 0, "in its grace period"),
        (["--at", date(18), "--in-grace"], 1, "expired on"),
        (["--at", "2020-01-01"], 1, "not valid before"),
        (["--audience", "other"], 1, "another product"),
    ],
)
def test_verify_judges_time_and_product(
    key_file: str, arguments: list[str], code: int, said: str
) -> None:
    result = run("verify", token(), "--key", key_file, *arguments)
    assert (result.exit_code, said in result.output) == (code, True)


@pytest.mark.parametrize("text", ["", "noise", "ü", "\0", token(new_key()), token() + "x" * 20_000])
def test_verify_refuses_in_one_line(key_file: str, text: str) -> None:
    result = run("verify", "-", "--key", key_file, stdin=text)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("tenantry: ")
    assert result.stderr.count("\n") == 1
    machines = run("verify", "-", "--key", key_file, "--json", stdin=text)
    assert machines.exit_code == 1
    assert json.loads(machines.stdout)["valid"] is False


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["--key", "/nowhere/key.pem"], ["--at", "soon"], ["--at", "0001-01-01T00:00+14:00"],
        ["--key", __file__], ["--jwks", __file__],
    ],
)  # fmt: skip
def test_wrong_usage_ends_with_2(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANTRY_KEYS_DIR", str(tmp_path))
    result = run("verify", token(), *arguments)
    assert result.exit_code == 2
    assert run("verify", "@/nowhere", *arguments).exit_code == 2


def test_the_installations_own_key_is_the_default(
    key_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANTRY_KEYS_DIR", str(Path(key_file).parent))
    assert run("verify", token()).exit_code == 0
    assert run("verify", token(new_key())).exit_code == 1


def test_inspect_believes_nothing_and_says_so() -> None:
    result = run("inspect", token(new_key(), exp=1))
    assert result.exit_code == 0
    assert result.stdout.startswith("NOT VERIFIED")
    assert "1970-01-01 00:00:01 UTC" in result.stdout
    said = json.loads(run("inspect", "-", "--json", stdin=token()).stdout)
    assert (said["verified"], said["header"]["kid"]) == (False, KEY.kid)


def test_inspect_of_something_else_ends_with_1() -> None:
    result = run("inspect", "noise")
    assert (result.exit_code, result.stdout) == (1, "")
    assert json.loads(run("inspect", "noise", "--json").stdout)["verified"] is False


def test_a_hostile_token_is_shown_as_text() -> None:
    hostile = {"sub": "\x1b[2J[bold red]x[/]\n\u202e", "[link=http://evil]": 1, "exp": 10**30}
    result = run("inspect", jwt.encode(hostile, "k" * 32, algorithm="HS256"))
    assert result.exit_code == 0
    assert "[bold red]x[/]" in result.stdout
    assert "[link=http://evil]" in result.stdout
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout


# Revoked ones


def list_of(*ids: str, key: SigningKey = KEY) -> str:
    claims = {"iss": "acme", "aud": "acme", "iat": 1, "revoked": [{"jti": i, "at": 1} for i in ids]}
    headers = {"typ": "license-revocations+jwt", "kid": key.kid}
    return jwt.encode(claims, key.key, algorithm="EdDSA", headers=headers)


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (list_of("1", "2"), 1, "The license was revoked."),
        (list_of("2"), 0, "valid"),
        ("none", 0, "valid"),
        (list_of("2", key=new_key()), 1, "The list of revoked licenses does not hold"),
        ("", 1, "The list of revoked licenses does not hold"),
    ],
)
def test_verify_asks_the_list_of_revoked_licenses(
    key_file: str, tmp_path: Path, text: str, code: int, said: str
) -> None:
    (tmp_path / "list.jwt").write_text(text)
    result = run("verify", token(), "--key", key_file, "--revocations", str(tmp_path / "list.jwt"))
    assert (result.exit_code, said in result.output + result.stderr) == (code, True)


def test_verify_without_the_list_that_was_named_says_so(key_file: str) -> None:
    result = run("verify", token(), "--key", key_file, "--revocations", "http://127.0.0.1:1/list")
    assert result.exit_code == 1
    assert "connection refused" in result.stderr

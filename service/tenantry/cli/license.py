"""`tenantry license`: what a license says, and whether it holds; for support and vendors (R15).

To look and to verify needs neither database nor service: given `--key` or `--jwks`, not even
settings. Exit codes of `verify`: 0 it holds, 1 it does not, 2 wrong usage.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Never

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tenantry import settings
from tenantry.adapters.http import RequestFailed, Timeouts, make_session, send
from tenantry.cli.options import json_option
from tenantry.cli.revoke import revoke
from tenantry.cli.terminal import printable
from tenantry.core import license as licenses
from tenantry.core.errors import LicenseInvalid, SettingsError
from tenantry.core.revocations import read_list
from tenantry.core.secret import NOTHING_REVOKED

_TIMES = ("iat", "nbf", "warn_at", "exp", "grace_until")
_READABLE = click.Path(exists=True, dir_okay=False, path_type=Path)
_LONGEST = 1024 * 1024  # characters that are read in search of a token or key


def _read_time(text: str) -> datetime:
    """A time in ISO 8601; UTC where it says no offset."""
    try:
        parsed = datetime.fromisoformat(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(f"{text!r} is no time such as 2026-12-24T18:00Z") from error


@click.group("license")
def license_command() -> None:
    """Licenses: look at one, verify it, or revoke it.

    TOKEN is the license itself, `@FILE`, or `-` for standard input. Other users of this machine can
    see arguments: prefer the latter two.
    """


license_command.add_command(revoke)


@license_command.command()
@click.argument("token")
@json_option
def inspect(token: str, as_json: bool) -> None:
    """Show what a license says. Nothing is VERIFIED."""
    try:
        header, claims = licenses.inspect(_read_token(token))
    except LicenseInvalid as error:
        _refuse(error, as_json, {"verified": False})
    if as_json:
        _print_json({"verified": False, "header": header, "claims": claims})
        return
    console = Console(soft_wrap=True)
    console.print("[bold yellow]NOT VERIFIED[/]: anybody can write a text that says this.")
    _print_claims(console, header | claims)


@license_command.command()
@click.argument("token")
@click.option(
    "--key",
    "key_files",
    type=_READABLE,
    multiple=True,
    help="PEM with one or more public keys.  [default: public-key.pem of this installation]",
)
@click.option("--jwks", "jwks_files", type=_READABLE, multiple=True, help="A JSON Web Key Set.")
@click.option(
    "--audience",
    help="The product that the license must be for; without it, any will do.",
)
@click.option(
    "--at", type=_read_time, metavar="TIME", help="Verify as of this time.  [default: now]"
)
@click.option(
    "--revocations", metavar="FILE|URL", help="A list of revoked licenses, that must not name it."
)
@click.option("--in-grace", is_flag=True, help="Also take one that ended, in its grace period.")
@json_option
def verify(
    token: str,
    key_files: tuple[Path, ...],
    jwks_files: tuple[Path, ...],
    audience: str | None,
    at: datetime | None,
    revocations: str | None,
    in_grace: bool,
    as_json: bool,
) -> None:
    """Verify a license: signature, type, product and time; with --revocations also whether it was
    revoked.
    """
    keys = _read_keys(key_files, jwks_files)
    now = at or datetime.now(UTC)
    try:
        found = licenses.verify(
            _read_token(token), keys, audience=audience, now=now, in_grace=in_grace
        )
        if revocations is not None:
            _require_unrevoked(found, revocations, keys)
    except LicenseInvalid as error:
        _refuse(error, as_json, {"valid": False})
    if as_json:
        _print_json(_as_json(found, now))
        return
    console = Console(soft_wrap=True)
    console.print(f"[bold green]valid[/] at {now:%Y-%m-%d %H:%M} UTC, {_describe(found, now)}")
    if revocations is None:
        console.print("[yellow]Whether it was revoked was not looked up[/]: see --revocations.")
    _print_claims(console, {"kid": found.kid} | dict(found.claims))


# Reading


def _read_token(argument: str) -> str:
    if argument == "-":
        return sys.stdin.buffer.read(_LONGEST).decode("latin-1").strip()
    if not argument.startswith("@"):
        return argument.strip()
    try:
        with Path(argument[1:]).open("rb") as file:
            return file.read(_LONGEST).decode("latin-1").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file name"
        raise click.BadParameter(f"{argument[1:]!r}: {reason}", param_hint="TOKEN") from error


def _require_unrevoked(
    found: licenses.License, place: str, keys: Mapping[str, licenses.PublicKey]
) -> None:
    """LicenseInvalid where the list names it, or does not hold."""
    text = _fetch(place) if place.startswith(("https://", "http://")) else _read_token(f"@{place}")
    if text != NOTHING_REVOKED and found.id in read_list(text, keys):
        raise LicenseInvalid("The license was revoked.")


def _fetch(url: str) -> str:
    try:
        answer = send(make_session(), "GET", url, timeouts=Timeouts(), limit=_LONGEST)
    except RequestFailed as error:
        raise click.ClickException(f"{url}: {error}") from error
    if answer.status != 200:
        raise click.ClickException(f"{url} answered with status {answer.status}")
    return answer.body.decode("latin-1").strip()


def _read_keys(
    key_files: tuple[Path, ...], jwks_files: tuple[Path, ...]
) -> Mapping[str, licenses.PublicKey]:
    if not key_files and not jwks_files:
        key_files = (_find_installed_key(),)
    keys: dict[str, licenses.PublicKey] = {}
    for path in (*key_files, *jwks_files):
        try:
            keys |= _read_key_file(path, is_jwks=path in jwks_files)
        except SettingsError as error:
            raise click.UsageError(f"{path}: {error}") from error
    return keys


def _find_installed_key() -> Path:
    path = settings.load().keys / "public-key.pem"
    if not path.is_file():
        raise click.UsageError(f"{path} is missing: name the public key with --key or --jwks")
    return path


def _read_key_file(path: Path, *, is_jwks: bool) -> dict[str, licenses.PublicKey]:
    with path.open("r", encoding="utf-8", errors="replace") as file:
        text = file.read(_LONGEST)
    if not is_jwks:
        return licenses.read_public_bundle(text)
    try:
        return licenses.read_jwks(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise SettingsError("This is not JSON.") from error


# Telling


def _refuse(error: LicenseInvalid, as_json: bool, members: Mapping[str, object]) -> Never:
    if as_json:
        _print_json({**members, "error": str(error)})
    else:
        click.echo(f"tenantry: {error}", err=True)
    raise click.exceptions.Exit(1)


def _as_json(found: licenses.License, now: datetime) -> dict[str, object]:
    return {
        "valid": True,
        "phase": found.phase(now),
        "kid": found.kid,
        "customer_id": found.customer_id,
        "plan": found.plan,
        "expires_at": found.expires_at.isoformat(),
        "claims": found.claims,
    }


def _print_json(value: object) -> None:
    click.echo(json.dumps(value))


def _describe(found: licenses.License, now: datetime) -> str:
    number = abs(found.expires_at - now).days
    days = f"{number} day{'s' if number != 1 else ''}"
    phase = found.phase(now)
    if phase == "grace":
        return f"[yellow]in its grace period: it ended {days} ago[/]"
    return f"{days} left" + (" [yellow](ends soon)[/]" if phase == "warning" else "")


def _print_claims(console: Console, claims: Mapping[str, Any]) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in claims.items():
        table.add_row(escape(printable(name)), escape(printable(_show(name, value))))
    console.print(table)


def _show(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    text = json.dumps(value, ensure_ascii=False)
    if name in _TIMES and isinstance(value, int) and 0 <= value < 253_402_300_800:
        return f"{text}  {datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return text

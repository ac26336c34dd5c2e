"""`tenantry dev break` and `mend`: have the development stand-in go wrong, and right again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from tenantry.adapters.http import RequestFailed, Timeouts, make_session, send
from tenantry.core.errors import TenantryError
from tenantry.devcluster.breakscontrol import PATH
from tenantry.devcluster.cases import CASES

_TIMEOUTS = Timeouts(connect=3, read=10, total=20)
_CASE = click.argument("case", type=click.Choice(list(CASES)), metavar="CASE", required=False)
_TENANT = click.option("--tenant", help="Name of its Application. [default: every tenant]")
_URL = click.option(
    "--url", default="http://127.0.0.1:3101", show_default=True, help="Where the stand-in is."
)


def _options(command: Callable[..., None]) -> Callable[..., None]:
    return _CASE(_TENANT(_URL(command)))


@click.command("break")
@_options
@click.option("--list", "listed", is_flag=True, help="Say what can be broken.")
def break_(case: str | None, tenant: str | None, url: str, listed: bool) -> None:
    """Break something in the stand-in, until it is mended; without CASE, say what is broken."""
    if listed:
        _list_cases()
    elif case is None:
        _tell(_ask(url, "GET"))
    else:
        _tell(_ask(url, "POST", {"case": case, "tenant": tenant}))


@click.command()
@_options
def mend(case: str | None, tenant: str | None, url: str) -> None:
    """Mend what was broken; without CASE, everything."""
    broken = _ask(url, "GET")
    wanted = broken if case is None else [{"case": case, "tenant": tenant}]
    for one in wanted:
        broken = _ask(url, "DELETE", one)
    _tell(broken)


def _list_cases() -> None:
    width = max(map(len, CASES))
    for name, case in CASES.items():
        about = "" if case.fault else " (all of Argo CD)"
        click.echo(f"{name:{width}}  {case.plays}{about}")


def _ask(url: str, method: str, body: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """What is broken afterwards; TenantryError where the stand-in refuses or does not answer."""
    try:
        answer = send(
            make_session(),
            method,
            url.rstrip("/") + PATH,
            timeouts=_TIMEOUTS,
            headers={"Content-Type": "application/json"},
            body=None if body is None else json.dumps(body).encode(),
        )
        content = answer.json()
    except (RequestFailed, ValueError) as error:
        raise TenantryError(
            f"no stand-in answers at {url}: {error}",
            remedy="start one with `tenantry dev cluster`, or name its --url",
        ) from error
    if answer.status != 200:
        raise TenantryError(str(content.get("error")), remedy=content.get("remedy"))
    found: list[dict[str, Any]] = content["breaks"]
    return found


def _tell(broken: list[dict[str, Any]]) -> None:
    for one in broken:
        click.echo(f"broken: {one['case']}" + (f" of {one['tenant']}" if one["tenant"] else ""))
    if not broken:
        click.echo("nothing is broken")

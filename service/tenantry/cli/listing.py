"""How commands list what they find."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Protocol

from tenantry.cli.terminal import echo


class Listed(Protocol):
    """Something that has a line of its own."""

    def as_text(self) -> str: ...

    def as_json(self) -> dict[str, object]: ...


def list_each(found: Iterable[Listed], what: str, *, as_json: bool) -> None:
    """One line each, as it is found. People are told where there is nothing, on standard error:
    what reads the lines gets none.
    """
    is_empty = True
    for each in found:
        is_empty = False
        echo(json.dumps(each.as_json()) if as_json else each.as_text())
    if is_empty and not as_json:
        echo(f"no {what} to list", err=True)

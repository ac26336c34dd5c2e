"""Variables of the environment before they are read as settings: which are none, and which hold no
JSON though they have to.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import get_origin

from tenantry.cell_settings import CellSettings

_OF_CELL = {name.upper(): field.annotation for name, field in CellSettings.model_fields.items()}
_JSON = {name for name, form in _OF_CELL.items() if get_origin(form) in (dict, tuple)}


def unknown_variables(settings: Iterable[str]) -> list[str]:
    """Variables that look like settings and are none of these, nor of a cell: misspelt ones."""
    known = {f"TENANTRY_{name}".upper() for name in settings}
    return sorted(
        name
        for name in os.environ
        if name.upper().startswith("TENANTRY_")
        if name.upper() not in known and not _is_cell(name, _OF_CELL)
    )


def not_json() -> list[str]:
    """Variables that hold JSON by definition, and do not."""
    return sorted(
        name
        for name, value in os.environ.items()
        if name.upper() == "TENANTRY_CELLS" or _is_cell(name, _JSON)
        if not _is_json(value)
    )


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _is_cell(variable: str, names: Iterable[str]) -> bool:
    prefix, _, rest = variable.upper().partition("__")
    return prefix == "TENANTRY_CELLS" and rest.partition("__")[2] in names

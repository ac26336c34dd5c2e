"""Finds the folders that ship with the package: the product's templates, a new repository's files.

In a checkout they lie at its top, where a vendor edits them; a wheel carries them inside itself.
"""

from __future__ import annotations

from pathlib import Path

from tenantry.core.errors import SettingsError

_PACKAGE = Path(__file__).parent
_PLACES = (_PACKAGE / "_assets", _PACKAGE.parent.parent)


def path(name: str) -> Path:
    """The folder `name` (`tenant_templates` or `tenants`); SettingsError where it is missing."""
    for place in _PLACES:
        if (place / name).is_dir():
            return place / name
    raise SettingsError(
        f"this installation of tenantry has no folder {name!r}",
        remedy="install tenantry again, or run it from a complete checkout",
    )

"""The product that the demo's service has: the vendor's, but paid at the stand-in."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from tenantry.adapters.product_folder import read_product_folder
from tenantry.core.document import load
from tenantry.core.errors import SettingsError
from tenantry.devcluster.paymentpage import CUSTOMER, PLACE

_FILE = "product.yaml"
_MARK = ".made-by-tenantry-demo"  # in the folder that may be deleted


def serve_product(vendors: Path, place: Path, *, stand_in_url: str) -> None:
    """Make `place` anew: all of the vendor's folder, but with the links to a payment provider that
    there are leading to the stand-in. ProductError where the vendor's product is not usable,
    SettingsError where `place` is there and was not made by this.
    """
    read_product_folder(vendors)  # what is wrong is told of the vendor's own file
    tree = load((vendors / _FILE).read_bytes(), _FILE)
    _lead(tree, f"{stand_in_url}{PLACE}")
    if os.path.lexists(place) and not _is_ours(place, vendors):
        raise SettingsError(
            f"{place} is not the demo's", remedy="choose another folder with --data"
        )
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / _MARK).touch()
    for entry in vendors.iterdir():
        if entry.name not in (_FILE, _MARK):
            (place / entry.name).symlink_to(entry)
    text = json.dumps(tree, indent=2, ensure_ascii=False)  # YAML, too
    (place / _FILE).write_text(text, "utf-8")


def _is_ours(place: Path, vendors: Path) -> bool:
    if place.is_symlink() or place.samefile(vendors):
        return False
    return (place / _MARK).is_file()


def _lead(tree: dict[str, Any], payments: str) -> None:
    whose = f"?{CUSTOMER}={{customer_id}}"
    for name, plan in tree["plans"].items():
        if plan.get("payment_link"):
            plan["payment_link"] = f"{payments}/{name}{whose}"
    if tree.get("paid", {}).get("portal"):
        tree["paid"]["portal"] = f"{payments}{whose}"

"""A platform version that tenants run never changes: what a checkout would change in one (R26)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tenantry.adapters.git.checkout import Checkout
from tenantry.core import naming
from tenantry.core.problem import Problem

_HINT = "add a new version beside it, and move tenants to that"


def check_platforms(root: Path, base: str) -> list[Problem]:
    """Every platform version that the checkout at `root` changes or removes, compared with where it
    left the commit `base`, though a tenant runs it, there or here. RepositoryError where `base` is
    not known here.
    """
    checkout = Checkout(root)
    base = checkout.commit(base)
    fork = checkout.fork(base)
    problems = []
    for folder in checkout.folders(fork, "platform"):
        changed = checkout.changed(fork, folder)
        runners = _runners(checkout, folder, base) if changed else []
        if runners:
            problems.append(
                _problem(folder, changed, runners, is_gone=not (root / folder).is_dir())
            )
    return problems


def _runners(checkout: Checkout, folder: str, base: str) -> list[str]:
    """The records of tenants that run a version. There is one way to write a record."""
    version = folder.removeprefix(naming.platform_folder(""))
    text = f'"platform": {json.dumps(version)}'
    found = {
        *checkout.holding(text, "tenants", commit=base),
        *checkout.holding(text, "tenants"),
    }
    return sorted(found)


def _problem(
    folder: str, changed: Sequence[str], runners: Sequence[str], *, is_gone: bool
) -> Problem:
    what = "is removed" if is_gone else f"changes ({changed[0]})"
    name, more = runners[0].split("/")[2], len(runners) - 1
    who = f"{name} and {more} more run" if more else f"{name} runs"
    return Problem(folder, f"{what}, and {who} it", _HINT)

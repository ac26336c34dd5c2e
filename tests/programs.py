"""Real programs that tests run."""

from __future__ import annotations

import os

import pytest

from tools.search import find


def require(program: str) -> str:
    """The program's path. Where it is missing the test skips, or fails under TENANTRY_STRICT=1."""
    path = find(program)
    if path is None:
        reason = f"{program} is not installed"
        if os.environ.get("TENANTRY_STRICT") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return str(path)

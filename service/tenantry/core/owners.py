"""CODEOWNERS of a tenants repository: complete but for whom it names."""

from __future__ import annotations

import re
from collections.abc import Sequence

FILE = "CODEOWNERS"
OWNER = re.compile(r"@[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*", re.ASCII)
_LINE = re.compile(rb"^# (\S+) @org/team$", re.MULTILINE)


def is_owner(text: str) -> bool:
    """Whether forges read it as a user or team: `@user`, `@org/team`, `@group/subgroup`."""
    return OWNER.fullmatch(text) is not None


def with_owners(file: bytes, owners: Sequence[str]) -> bytes:
    """The file with its rules in force, for these owners."""
    named = " ".join(owners).encode()
    return _LINE.sub(lambda rule: rule[1] + b" " + named, file)

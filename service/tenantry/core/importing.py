"""A customer that is imported: by the rules of a signup, but with a hash for a password.

Plain passwords are refused: a file of them would be copied, mailed and backed up, and nobody could
say later who had read it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tenantry.core.errors import InvalidInput
from tenantry.core.signup import Person, parse_person

REQUIRED = ("email", "company_name")
COLUMNS = (*REQUIRED, "full_name", "time_zone", "password_hash")
NO_PLAIN_PASSWORDS = (
    "plain passwords are not imported, since files are copied; give password_hash (argon2id), or "
    "none"
)
_PHC = re.compile(
    r"\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})"
    r"\$([A-Za-z0-9+/]{11,64})\$([A-Za-z0-9+/]{22,172})"
)
MOST_MEMORY = 1024 * 1024  # KiB that one login may cost
LEAST_MEMORY_EACH = 8  # KiB, for each degree of parallelism: argon2's own limit


@dataclass(frozen=True)
class Imported:
    """A customer to be; without a hash, no password opens the account."""

    person: Person
    password_hash: str | None = field(repr=False)


def check_columns(names: Collection[str]) -> None:
    """InvalidInput where a file's columns, or a line's members, are not those of an import."""
    if any(name.casefold().strip() in ("password", "passwd", "pwd") for name in names):
        raise InvalidInput(NO_PLAIN_PASSWORDS, field="password")
    unknown = sorted(set(names) - set(COLUMNS))
    if unknown:
        raise InvalidInput(f"unknown: {', '.join(map(repr, unknown))}; known: {', '.join(COLUMNS)}")


def parse_customer(fields: Mapping[str, object]) -> Imported:
    """The customer that a line describes; InvalidInput for the first fault."""
    check_columns(fields)
    return Imported(parse_person(fields), _parse_hash(fields.get("password_hash")))


def _parse_hash(value: object) -> str | None:
    """An argon2id hash that can be verified, at a cost that a login may have."""
    if value is None or value == "":
        return None
    found = _PHC.fullmatch(value) if isinstance(value, str) else None
    if found is None or not (_is_base64(found[4]) and _is_base64(found[5])):
        raise _bad("password_hash is not argon2id in PHC form ($argon2id$v=19$m=…,t=…,p=…$…$…)")
    memory, time_cost, lanes = int(found[1]), int(found[2]), int(found[3])
    if not (lanes and time_cost and LEAST_MEMORY_EACH * lanes <= memory <= MOST_MEMORY):
        raise _bad(f"password_hash has costs that cannot be used; m is at most {MOST_MEMORY}")
    return found[0]


def _bad(fault: str) -> InvalidInput:
    return InvalidInput(fault, field="password_hash", code="invalid_password_hash")


def _is_base64(text: str) -> bool:
    """Whether the text is base64 without padding."""
    try:
        return bool(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
    except binascii.Error:
        return False

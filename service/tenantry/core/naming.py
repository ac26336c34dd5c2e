"""Names of a tenant: all derived from one random key, none from anything a person typed.

A key is ten characters: a letter first, no vowels and no look-alikes, so that no name spells a
word or is misread. It makes a legal DNS label, namespace, Application name and folder.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

LETTERS = "bcdfghjkmnpqrstvwxz"
ALPHABET = LETTERS + "23456789"
KEY_LENGTH = 10
KEY = re.compile(rf"[{LETTERS}][{ALPHABET}]{{{KEY_LENGTH - 1}}}")


def new_key(choice: Callable[[str], str]) -> str:
    """A fresh key; `choice` picks a character of a string, and must be cryptographically random."""
    return choice(LETTERS) + "".join(choice(ALPHABET) for _ in range(KEY_LENGTH - 1))


def customer_id(key: str) -> str:
    """`cust-<key>`: the customer's public id and the host label of the instance."""
    return f"cust-{_checked(key)}"


def tenant_name(key: str) -> str:
    """`customer-<key>`: namespace, Application and folder."""
    return f"customer-{_checked(key)}"


def key_of(name: str) -> str:
    """The key within a customer id or tenant name; ValueError where it is neither."""
    prefix, _, key = name.partition("-")
    if prefix not in ("cust", "customer"):
        raise ValueError(f"neither customer id nor tenant name: {name!r}")
    return _checked(key)


def prefix(name: str) -> str:
    """Two hex digits that spread tenants evenly over folders, and so over shards."""
    return hashlib.sha256(name.encode()).hexdigest()[:2]


def folder(name: str) -> str:
    """The tenant's folder in the tenants repository, without trailing slash."""
    return f"tenants/{prefix(name)}/{name}"


def folder_of(customer_id: str) -> str:
    """The folder of the customer's tenant, likewise."""
    return folder(tenant_name(key_of(customer_id)))


def platform_folder(version: str) -> str:
    """The folder of one platform version in the tenants repository."""
    return f"platform/{version}"


def _checked(key: str) -> str:
    if not KEY.fullmatch(key):
        raise ValueError(f"not a tenant key: {key!r}")
    return key

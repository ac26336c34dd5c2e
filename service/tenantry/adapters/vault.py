"""Secret values at rest: wrapped with a ring of keys, the first of which wraps (Fernet).

A backup of the database alone opens nothing. To rotate, put a new key first: old values still
open, and are wrapped anew as they are written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from tenantry.core.errors import KeysMissing, VaultError


class Vault:
    """Wraps and unwraps text. `keys` are Fernet keys (base64 of 32 bytes), newest first."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise KeysMissing("the vault has no key", remedy="put a Fernet key into the vault file")
        try:
            self._ring = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise KeysMissing(
                "a vault key is not a Fernet key", remedy="url-safe base64 of 32 random bytes"
            ) from error

    def wrap(self, value: str) -> bytes:
        """The value, encrypted; each call gives other bytes."""
        return self._ring.encrypt(value.encode())

    def unwrap(self, wrapped: bytes) -> str:
        """The value again; VaultError where no key of the ring opens it."""
        try:
            return self._ring.decrypt(wrapped).decode()
        except InvalidToken as error:
            raise VaultError(
                remedy="the vault key that wrapped it must stay in the ring"
            ) from error

    def __repr__(self) -> str:
        return "Vault(***)"


def token_digest(token: str) -> str:
    """What is stored of a random link: SHA-256, hex. The token has 192 bits, so needs no salt."""
    return hashlib.sha256(token.encode()).hexdigest()

"""Secret values at rest: wrapped with a ring of keys, the first of which wraps (Fernet).

A backup of the database alone opens nothing. To rotate, put a new key first: old values still
open, and are wrapped anew as they are written.

Digests are keyed by the ring, too, each purpose by a key of its own: who reads the database can
neither guess what was digested nor tell that two tables speak of the same.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
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
        self._keys = tuple(base64.urlsafe_b64decode(key) for key in keys)

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

    def digest(self, purpose: str, value: str) -> str:
        """What may be stored to know `value` again by: hex, keyed by the newest key."""
        return _digest(self._keys[0], purpose, value)

    def recognizes(self, purpose: str, value: str, digest: str) -> bool:
        """Whether `digest` was made of `value`, with whichever key of the ring."""
        made = (_digest(key, purpose, value) for key in self._keys)
        return any(hmac.compare_digest(each, digest) for each in made)

    def __repr__(self) -> str:
        return "Vault(***)"


def _digest(key: bytes, purpose: str, value: str) -> str:
    derived = hmac.digest(key, f"tenantry digest: {purpose}".encode(), "sha256")
    return hmac.digest(derived, value.encode(), "sha256").hex()


def token_digest(token: str) -> str:
    """What is stored of a random link: SHA-256, hex. The token has 192 bits, so needs no salt."""
    return hashlib.sha256(token.encode()).hexdigest()

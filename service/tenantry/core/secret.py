"""The tenant's Secret as the product says it: its keys, where their values come from, and what a
new value does.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Mapping
from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from tenantry.core.product_types import DnsLabel, KeyName, Number, Part

NOTHING_REVOKED = "none"  # in place of a list of revocations: its value, and its version


class Source(StrEnum):
    """Where the value of a secret key comes from."""

    LICENSE = "license"
    PUBLIC_KEYS = "public-keys"
    CUSTOMER_ID = "customer-id"
    RANDOM = "random"
    REVOCATIONS = "revocations"


class Rotation(StrEnum):
    """What a new value of a random secret does."""

    RESTART = "restart"  # the workloads that read it restart
    NEVER = "never"  # refused: what reads it does so only at its first start


class Alphabet(StrEnum):
    """Characters of a random secret."""

    ALPHANUMERIC = "alphanumeric"
    HEX = "hex"

    @property
    def characters(self) -> str:
        return {
            Alphabet.ALPHANUMERIC: string.ascii_letters + string.digits,
            Alphabet.HEX: "0123456789abcdef",
        }[self]


class SecretKey(Part):
    """One key of the tenant's Secret."""

    source: Source
    length: Number | None = Field(default=None, ge=16, le=512, description="characters")
    alphabet: Alphabet = Alphabet.ALPHANUMERIC
    rotation: Rotation | None = None

    @model_validator(mode="after")
    def _random_is_complete(self) -> Self:
        given = self.length is not None and self.rotation is not None
        none = self.length is None and self.rotation is None
        if self.source is Source.RANDOM and not given:
            raise ValueError("a random value needs length and rotation")
        if self.source is not Source.RANDOM and not none:
            raise ValueError("length and rotation belong to random values only")
        return self

    @property
    def restarts(self) -> bool:
        """Whether a new value shows in the secrets' version (a license has its own version)."""
        return self.rotation is Rotation.RESTART or self.source is Source.PUBLIC_KEYS


class Secret(Part):
    """The tenant's Secret; it goes to Git only sealed."""

    name: DnsLabel
    keys: dict[KeyName, SecretKey] = Field(min_length=1)

    def keys_from(self, source: Source) -> tuple[str, ...]:
        """Names of the keys with that source."""
        return tuple(name for name, key in self.keys.items() if key.source is source)

    def version(self, versions: Mapping[str, str]) -> str:
        """Short and stable: changes when a value changes for which pods must restart. Starts with a
        letter, since a hash such as 190e12 reads like a number.
        """
        lines = [
            f"{name}={versions[name]}" for name in sorted(self.keys) if self.keys[name].restarts
        ]
        return "v" + hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]

    def license_version(self, license_id: str, versions: Mapping[str, str]) -> str:
        """Changes with the license and with the list of those that were revoked."""
        known = self.complete(versions)
        lists = {known[name] for name in self.keys_from(Source.REVOCATIONS)} - {NOTHING_REVOKED}
        return ".".join([license_id, *sorted(lists)])

    def complete(self, versions: Mapping[str, str]) -> dict[str, str]:
        """The versions of a tenant's values. One that was made before the product had a list of
        revocations has none.
        """
        return {**dict.fromkeys(self.keys_from(Source.REVOCATIONS), NOTHING_REVOKED), **versions}

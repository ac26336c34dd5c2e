"""Signing keys and their public halves, as PEM and as JWK.

A key is known by its RFC 7638 thumbprint, and its algorithm follows from what it is: Ed25519 signs
EdDSA, RSA signs RS256. Making a key needs randomness and so does not belong here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from tenantry.core.errors import SettingsError

MINIMUM_RSA_BITS = 2048

_PUBLIC_BLOCK = re.compile(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)


@dataclass(frozen=True)
class PublicKey:
    """A key that licenses are verified with."""

    kid: str
    algorithm: str  # "EdDSA" or "RS256"
    pem: str
    key: Ed25519PublicKey | RSAPublicKey

    @classmethod
    def from_pem(cls, pem: str | bytes) -> PublicKey:
        """From one PEM block `PUBLIC KEY`; SettingsError where it is none, or too weak."""
        try:
            return cls.of(load_pem_public_key(_bytes(pem)))
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise SettingsError("This is not a public key in PEM.") from error

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> PublicKey:
        """From a JSON Web Key; SettingsError where it is no Ed25519 or RSA public key."""
        try:
            if jwk.get("kty") == "OKP":
                return cls.of(OKPAlgorithm.from_jwk(dict(jwk)))
            if jwk.get("kty") == "RSA":
                return cls.of(RSAAlgorithm.from_jwk(dict(jwk)))
        except (PyJWTError, ValueError, TypeError, AttributeError) as error:
            raise SettingsError("This is not a valid JSON Web Key.") from error
        raise SettingsError("A JSON Web Key for licenses has the type OKP or RSA.")

    @classmethod
    def of(cls, key: object) -> PublicKey:
        """From a key of the `cryptography` library."""
        if isinstance(key, Ed25519PublicKey):
            algorithm = "EdDSA"
        elif isinstance(key, RSAPublicKey):
            algorithm = "RS256"
            if key.key_size < MINIMUM_RSA_BITS:
                raise SettingsError(f"An RSA key needs at least {MINIMUM_RSA_BITS} bits.")
        else:
            raise SettingsError("A license key is Ed25519 or RSA, and nothing else.")
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
        return cls(thumbprint(_members(key)), algorithm, pem, key)

    def jwk(self) -> dict[str, str]:
        """The key as a public JSON Web Key with `kid`, `alg` and `use`."""
        return {**_members(self.key), "kid": self.kid, "alg": self.algorithm, "use": "sig"}


@dataclass(frozen=True, repr=False)
class SigningKey:
    """A private key that licenses are signed with; never shown."""

    public: PublicKey
    key: Ed25519PrivateKey | RSAPrivateKey

    @classmethod
    def from_pem(cls, pem: str | bytes, password: bytes | None = None) -> SigningKey:
        """From a PEM private key; SettingsError where it is none, encrypted or too weak."""
        try:
            key = load_pem_private_key(_bytes(pem), password)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # without its cause, which may quote the file
            raise SettingsError("This is not a private key in PEM.") from None
        if not isinstance(key, Ed25519PrivateKey | RSAPrivateKey):
            raise SettingsError("A license key is Ed25519 or RSA, and nothing else.")
        return cls(PublicKey.of(key.public_key()), key)

    @property
    def kid(self) -> str:
        """RFC 7638 thumbprint of the public key."""
        return self.public.kid

    @property
    def algorithm(self) -> str:
        """`EdDSA` or `RS256`."""
        return self.public.algorithm

    @property
    def public_pem(self) -> str:
        """The public half, as PEM."""
        return self.public.pem

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.kid!r}, algorithm={self.algorithm!r})"


def thumbprint(jwk: Mapping[str, str]) -> str:
    """RFC 7638: SHA-256 over the required members, sorted and without white space."""
    required = {"OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}[jwk["kty"]]
    text = json.dumps({name: jwk[name] for name in required}, separators=(",", ":"))
    return _base64url(hashlib.sha256(text.encode("ascii")).digest())


def read_public_bundle(text: str) -> dict[str, PublicKey]:
    """Every public key of concatenated PEM blocks, by `kid`; SettingsError where there is none."""
    keys = by_kid(PublicKey.from_pem(block) for block in _PUBLIC_BLOCK.findall(text))
    if not keys:
        raise SettingsError("There is no public key in PEM in this text.")
    return keys


def read_jwks(body: object) -> dict[str, PublicKey]:
    """Every key of a JSON Web Key Set, by `kid`; SettingsError where it is none or empty."""
    members = body.get("keys") if isinstance(body, dict) else None
    if not isinstance(members, list) or not members:
        raise SettingsError("A JSON Web Key Set has a list `keys` that is not empty.")
    if not all(isinstance(member, dict) for member in members):
        raise SettingsError("Each key of a JSON Web Key Set is an object.")
    return by_kid(PublicKey.from_jwk(member) for member in members)


def by_kid(keys: Iterable[PublicKey]) -> dict[str, PublicKey]:
    """The dictionary that `verify` chooses from."""
    return {key.kid: key for key in keys}


def jwks(public_keys: Iterable[PublicKey]) -> dict[str, list[dict[str, str]]]:
    """The JSON Web Key Set of these keys, each once, in their order."""
    return {"keys": [key.jwk() for key in by_kid(public_keys).values()]}


def public_bundle(pems: Iterable[str]) -> str:
    """Concatenated PEM of these public keys, each once, in their order (R21)."""
    keys = by_kid(PublicKey.from_pem(pem) for pem in pems)
    return "".join(key.pem for key in keys.values())


def _members(key: Ed25519PublicKey | RSAPublicKey) -> dict[str, str]:
    if isinstance(key, Ed25519PublicKey):
        raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return {"kty": "OKP", "crv": "Ed25519", "x": _base64url(raw)}
    numbers = key.public_numbers()
    return {"kty": "RSA", "n": _base64url_number(numbers.n), "e": _base64url_number(numbers.e)}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _base64url_number(number: int) -> str:
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _bytes(pem: str | bytes) -> bytes:
    return pem.encode("utf-8", "replace") if isinstance(pem, str) else pem

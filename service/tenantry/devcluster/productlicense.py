"""The license as the product in the pods would see it: found among what they read, and verified.

Verified with PyJWT and the public keys that the same Secret holds, and nothing of Tenantry's own
license code, so that an error there does not hide itself here. The token is never passed on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.types import Options

TYP = "license+jwt"
REQUIRED = ["iss", "sub", "iat", "nbf", "exp", "jti", "plan"]
# times and audience are judged afterwards, to say what is wrong
_OPTIONS: Options = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
}
_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----\n?", re.DOTALL)


@dataclass(frozen=True)
class ProductLicense:
    """What the product makes of its license. `claims` are empty unless the signature is good."""

    valid: bool
    reason: str
    claims: Mapping[str, Any] = field(default_factory=dict)

    def moment(self, claim: str) -> datetime | None:
        """A claim that is a time, UTC."""
        value = self.claims.get(claim)
        return datetime.fromtimestamp(value, UTC) if isinstance(value, int | float) else None


def read_license(
    values: Iterable[str], *, customer_id: str | None, audience: str | None, now: datetime
) -> ProductLicense:
    """Find and verify the license among the values that pods read."""
    texts = list(values)
    tokens = sorted({text.strip() for text in texts if _is_license(text.strip())})
    keys = [pem for text in texts for pem in _PEM.findall(text)]
    if not tokens:
        return ProductLicense(False, "the pods read no license")
    if len(tokens) > 1:
        return ProductLicense(False, "the pods read different licenses")
    claims = next((found for pem in keys if (found := _claims(tokens[0], pem))), None)
    if claims is None:
        return ProductLicense(False, "no public key that the pods read verifies the license")
    return _judge(claims, customer_id, audience, now)


def _judge(
    claims: Mapping[str, Any], customer_id: str | None, audience: str | None, now: datetime
) -> ProductLicense:
    missing = [name for name in REQUIRED if name not in claims]
    if missing:
        return ProductLicense(False, f"the license has no {missing[0]}", claims)
    if customer_id is not None and claims["sub"] != customer_id:
        return ProductLicense(False, "the license is for another customer", claims)
    audiences = claims.get("aud")
    if audience is not None and audience not in (
        audiences if isinstance(audiences, list) else [audiences]
    ):
        return ProductLicense(False, "the license is for another product", claims)
    seconds = now.timestamp()
    if seconds < claims["nbf"]:
        return ProductLicense(False, "the license is not valid yet", claims)
    if seconds < claims["exp"]:
        return ProductLicense(True, "valid", claims)
    if seconds < claims.get("grace_until", 0):
        return ProductLicense(True, "expired, in its grace period", claims)
    return ProductLicense(False, "the license has expired", claims)


def _is_license(text: str) -> bool:
    try:
        return bool(jwt.get_unverified_header(text).get("typ") == TYP)
    except jwt.PyJWTError:
        return False


def _claims(token: str, pem: str) -> dict[str, Any] | None:
    try:
        key = load_pem_public_key(pem.encode())
        if isinstance(key, Ed25519PublicKey):
            algorithms = ["EdDSA"]
        elif isinstance(key, RSAPublicKey):
            algorithms = ["RS256"]
        else:
            return None
        claims: dict[str, Any] = jwt.decode(token, key, algorithms=algorithms, options=_OPTIONS)
    except (jwt.PyJWTError, ValueError):
        return None
    return claims

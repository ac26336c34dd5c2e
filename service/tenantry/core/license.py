"""The license of one tenant: a signed JWT that the product verifies offline (R10, R15).

Invariant: a token is believed only after its signature, with a key *we* chose by `kid` and the one
algorithm that key has; what the token says of itself (`alg`) decides nothing. Time
is an argument, so PyJWT, which reads the wall clock, only does the signature here.

What a token holds may be shown to its own customer and to nobody else; keep it out of logs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Never

import jwt
from jwt.algorithms import OKPAlgorithm
from jwt.exceptions import PyJWTError

from tenantry.core.claims import build_claims
from tenantry.core.errors import LicenseInvalid
from tenantry.core.keys import (
    PublicKey,
    SigningKey,
    by_kid,
    jwks,
    public_bundle,
    read_jwks,
    read_public_bundle,
)

__all__ = [
    "License",
    "PublicKey",
    "SigningKey",
    "build_claims",
    "by_kid",
    "inspect",
    "jwks",
    "open_signed",
    "public_bundle",
    "read_jwks",
    "read_public_bundle",
    "sign",
    "token_hash",
    "verify",
]

TYP = "license+jwt"
MAXIMUM_LENGTH = 16 * 1024  # characters of a token
LEEWAY = 60  # seconds that the clock of whoever verifies may be behind ours; never past the end

_LATEST = 253_402_300_799  # the last second of the year 9999: what `datetime` can say

_JWS = jwt.PyJWS(algorithms=["EdDSA", "RS256"])
_JWS.register_algorithm("Ed25519", OKPAlgorithm())  # RFC 9864's name for the same signature


@dataclass(frozen=True)
class License:
    """A license whose signature and claims were verified. Times are UTC."""

    id: str  # `jti`
    issuer: str
    customer_id: str  # `sub`
    plan: str
    kind: str  # "trial" or "paid"
    features: Mapping[str, Any]
    limits: Mapping[str, Any]
    issued_at: datetime
    not_before: datetime
    expires_at: datetime
    warn_at: datetime
    grace_until: datetime
    kid: str
    claims: Mapping[str, Any]

    def phase(self, now: datetime) -> str:
        """`valid`, `warning` (ends soon), `grace` (ended, still tolerated) or `expired`."""
        if now >= self.grace_until and now >= self.expires_at:
            return "expired"
        if now >= self.expires_at:
            return "grace"
        return "warning" if now >= self.warn_at else "valid"


def sign(claims: Mapping[str, Any], key: SigningKey) -> str:
    """The token of these claims."""
    headers = {"typ": TYP, "kid": key.kid}
    return jwt.encode(dict(claims), key.key, algorithm=key.algorithm, headers=headers)


def verify(
    token: str,
    keys: Mapping[str, PublicKey],
    *,
    audience: str | None,
    now: datetime,
    issuer: str | None = None,
    in_grace: bool = False,
) -> License:
    """The license within `token`, or LicenseInvalid with a sentence that says what is wrong.

    `keys` by `kid`. `audience` is the product's machine name and `issuer` who must have issued it;
    None: not checked. `in_grace` takes a license as valid until its grace period is over.
    """
    header, payload = open_signed(token, keys)
    if header.get("typ") != TYP:  # after the signature: only now is it the issuer who speaks
        raise LicenseInvalid(f"This token is no license: its type is not {TYP}.")
    found = _read(_json(payload), str(header["kid"]))
    _check_parties(found, audience, issuer)
    _check_time(found, now, in_grace)
    return found


def inspect(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token, NOT verified; LicenseInvalid where it is no token at all."""
    text = _text(token)
    try:
        decoded = _JWS.decode_complete(text, options={"verify_signature": False})
    except (PyJWTError, ValueError, RecursionError) as error:
        raise LicenseInvalid("This is not a license: it is not a signed JWT.") from error
    return decoded["header"], _json(decoded["payload"])


def token_hash(token: str) -> str:
    """SHA-256 of the token in hex, for the history (R11). Never a key of a deny list: a token has
    more than one spelling.
    """
    return hashlib.sha256(token.encode("utf-8")).hexdigest()


# Verification


def open_signed(token: str, keys: Mapping[str, PublicKey]) -> tuple[dict[str, Any], bytes]:
    """Header and content of what one of the keys signed; LicenseInvalid where none did."""
    text = _text(token)
    key = _choose(text, keys)
    names = ["EdDSA", "Ed25519"] if key.algorithm == "EdDSA" else [key.algorithm]
    try:
        decoded = _JWS.decode_complete(text, key.key, algorithms=names)
    except (PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise LicenseInvalid("The license's signature does not match its content.") from error
    return decoded["header"], decoded["payload"]


def _choose(text: str, keys: Mapping[str, PublicKey]) -> PublicKey:
    header, _ = inspect(text)
    kid = header.get("kid")
    if not isinstance(kid, str):
        raise LicenseInvalid("The license does not say which key signed it (kid).")
    if kid not in keys:
        raise LicenseInvalid(f"The license was signed with a key that is not known: {kid[:80]!r}.")
    return keys[kid]


def _check_parties(found: License, audience: str | None, issuer: str | None) -> None:
    named = found.claims["aud"]
    if audience is not None and audience not in (named if isinstance(named, list) else [named]):
        raise LicenseInvalid("The license is for another product.")
    if issuer is not None and found.issuer != issuer:
        raise LicenseInvalid("The license was issued by somebody else.")


def _check_time(found: License, now: datetime, in_grace: bool) -> None:
    if found.not_before.timestamp() > now.timestamp() + LEEWAY:
        raise LicenseInvalid(f"The license is not valid before {_minute(found.not_before)}.")
    phase = found.phase(now)
    if phase == "expired" or (phase == "grace" and not in_grace):
        raise LicenseInvalid(f"The license expired on {_minute(found.expires_at)}.")


def _minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"


# Reading what somebody else wrote


def _text(token: object) -> str:
    if not isinstance(token, str) or not token.isascii() or not 0 < len(token) <= MAXIMUM_LENGTH:
        raise LicenseInvalid("This is not a license: it is empty, too long or not plain text.")
    return token


def _json(payload: bytes) -> dict[str, Any]:
    try:
        claims = json.loads(payload, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise LicenseInvalid("The license's content is not JSON.") from error
    if not isinstance(claims, dict):
        raise LicenseInvalid("The license's content is not a JSON object.")
    return claims


def _refuse(constant: str) -> Never:
    """NaN and the infinities: Python would read them, and JSON has none."""
    raise ValueError(constant)


def _read(claims: dict[str, Any], kid: str) -> License:
    _claim_audience(claims)
    return License(
        id=_claim_text(claims, "jti"),
        issuer=_claim_text(claims, "iss"),
        customer_id=_claim_text(claims, "sub"),
        plan=_claim_text(claims, "plan"),
        kind=_claim_text(claims, "kind"),
        features=_claim_object(claims, "features"),
        limits=_claim_object(claims, "limits"),
        issued_at=_claim_time(claims, "iat"),
        not_before=_claim_time(claims, "nbf"),
        expires_at=_claim_time(claims, "exp"),
        warn_at=_claim_time(claims, "warn_at"),
        grace_until=_claim_time(claims, "grace_until"),
        kid=kid,
        claims=claims,
    )


def _claim_text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise LicenseInvalid(f"The license's claim {name} is not a text.")
    return value


def _claim_object(claims: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = claims.get(name)
    if not isinstance(value, dict):
        raise LicenseInvalid(f"The license's claim {name} is not an object.")
    return value


def _claim_time(claims: Mapping[str, Any], name: str) -> datetime:
    value = claims.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LATEST:
        raise LicenseInvalid(f"The license's claim {name} is not a time in unix seconds.")
    return datetime.fromtimestamp(value, UTC)


def _claim_audience(claims: Mapping[str, Any]) -> None:
    value = claims.get("aud")
    several = value if isinstance(value, list) else [value]
    if not several or not all(isinstance(one, str) and one for one in several):
        raise LicenseInvalid("The license's claim aud names no product.")

"""Lists of licenses that were revoked: signed as licenses are, and read offline like them (R13).

A list names licenses by their id (`jti`), since a token has more than one spelling. It says nothing
of whose they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import jwt

from tenantry.core.errors import LicenseInvalid
from tenantry.core.keys import PublicKey, SigningKey
from tenantry.core.license import open_signed
from tenantry.core.product import Product
from tenantry.core.secret import NOTHING_REVOKED

TYP = "license-revocations+jwt"
_DIGEST = 8  # characters


@dataclass(frozen=True, order=True)
class Revocation:
    """A license that was revoked. Nobody needs to be told of it once it has lapsed by itself."""

    license_id: str
    at: datetime
    lapses_at: datetime  # the end of its grace period

    def counts(self, now: datetime) -> bool:
        """Whether a list that is made now has to name it."""
        return self.at <= now < self.lapses_at


def sign_list(
    revoked: Iterable[Revocation], key: SigningKey, *, product: Product, at: datetime
) -> str:
    """The list as of `at`: the same bytes for the same licenses, time and key."""
    counting = sorted(each for each in revoked if each.counts(at))
    claims = {
        "iss": product.license.issuer,
        "aud": product.name,
        "iat": int(at.timestamp()),
        "revoked": [{"jti": each.license_id, "at": int(each.at.timestamp())} for each in counting],
    }
    headers = {"typ": TYP, "kid": key.kid}
    return jwt.encode(claims, key.key, algorithm=key.algorithm, headers=headers)


def read_list(
    token: str, keys: Mapping[str, PublicKey], *, audience: str | None = None
) -> frozenset[str]:
    """The ids of a list; LicenseInvalid where it does not hold. `audience` is the product's machine
    name; None: not checked.
    """
    try:
        header, payload = open_signed(token, keys)
        claims = json.loads(payload)
        ids = frozenset(str(each["jti"]) for each in claims["revoked"])
        named = claims["aud"]
    except (LicenseInvalid, ValueError, KeyError, TypeError, RecursionError) as error:
        raise LicenseInvalid(f"The list of revoked licenses does not hold: {error}") from error
    if header.get("typ") != TYP:
        raise LicenseInvalid(f"This is no list of revoked licenses: its type is not {TYP}.")
    if audience not in (None, named):
        raise LicenseInvalid("The list of revoked licenses is for another product.")
    return ids


def list_version(
    revoked: Iterable[Revocation], kid: str, *, now: datetime, before: str = NOTHING_REVOKED
) -> str:
    """What a tenant's list is called: `before` as long as it names the same licenses, signed with
    the same key. It tells since when the list is what it is.
    """
    ids = sorted(each.license_id for each in revoked if each.counts(now))
    if not ids:
        return NOTHING_REVOKED
    digest = hashlib.sha256("\n".join([kid, *ids]).encode()).hexdigest()[:_DIGEST]
    is_same = before.partition("-")[2] == digest
    return before if is_same else f"{int(now.timestamp())}-{digest}"


def time_of(version: str) -> int:
    """Since when a list that is called so is what it is; unix seconds."""
    return int(version.partition("-")[0])

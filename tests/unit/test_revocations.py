"""Lists of revoked licenses: signed, read, and named after what they hold (R13)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from tenantry.core.errors import LicenseInvalid
from tenantry.core.keys import SigningKey, by_kid
from tenantry.core.revocations import TYP, Revocation, list_version, read_list, sign_list, time_of
from tests.overlays import product
from tests.unit.test_license import pem

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
KEY = SigningKey.from_pem(pem(ed25519.Ed25519PrivateKey.generate()))
RSA_KEY = SigningKey.from_pem(pem(rsa.generate_private_key(65537, 2048)))
KEYS = by_kid([KEY.public, RSA_KEY.public])


def revoked(name: str, *, days_ago: int = 0, lapses_in: int = 10) -> Revocation:
    return Revocation(name, NOW - timedelta(days=days_ago), NOW + timedelta(days=lapses_in))


def signed(*given: Revocation, key: SigningKey = KEY, at: datetime = NOW) -> str:
    return sign_list(given, key, product=product(), at=at)


def forged(typ: str = TYP, **claims: Any) -> str:
    body = {"iss": "tenantry", "aud": "iotistic", "iat": 1, "revoked": [{"jti": "a", "at": 1}]}
    headers = {"typ": typ, "kid": KEY.kid}
    return jwt.encode(body | claims, KEY.key, algorithm="EdDSA", headers=headers)


@pytest.mark.parametrize("key", [KEY, RSA_KEY])
def test_list_names_what_was_revoked_and_has_not_lapsed(key: SigningKey) -> None:
    text = signed(
        revoked("b"), revoked("a"), revoked("later", days_ago=-1), revoked("over", lapses_in=0),
        key=key,
    )  # fmt: skip
    assert read_list(text, KEYS, audience="iotistic") == {"a", "b"}
    assert text == signed(revoked("a"), revoked("b"), key=key)  # in whichever order


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("none of it", "does not hold"),
        (signed(revoked("a"))[:-6] + "AAAAAA", "does not hold"),
        (forged(revoked="a"), "does not hold"),
        (forged(revoked=None), "does not hold"),
        (forged(typ="license+jwt"), "its type is not"),
        (forged(aud="another"), "another product"),
    ],
)
def test_list_that_is_none_is_refused(text: str, why: str) -> None:
    with pytest.raises(LicenseInvalid, match=why):
        read_list(text, KEYS, audience="iotistic")


def test_list_of_a_key_that_is_not_known_is_refused() -> None:
    with pytest.raises(LicenseInvalid, match="key that is not known"):
        read_list(signed(revoked("a")), by_kid([RSA_KEY.public]))


def test_version_stays_as_long_as_the_same_licenses_are_named() -> None:
    first = list_version([revoked("a")], "key", now=NOW)
    later = NOW + timedelta(days=1)
    assert list_version([revoked("a")], "key", now=later, before=first) == first
    assert time_of(first) == int(NOW.timestamp())
    others = [
        list_version([revoked("a"), revoked("b")], "key", now=later, before=first),
        list_version([revoked("a")], "other key", now=later, before=first),
        list_version([revoked("b")], "key", now=NOW, before=first),
    ]
    assert len({first, *others}) == 4


def test_version_is_none_where_nothing_is_to_be_named() -> None:
    assert list_version([], "key", now=NOW) == "none"
    first = list_version([revoked("a")], "key", now=NOW)
    lapsed = NOW + timedelta(days=10)
    assert list_version([revoked("a")], "key", now=lapsed, before=first) == "none"

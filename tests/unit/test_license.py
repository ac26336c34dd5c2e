"""Licenses: issued, verified offline, and refused with a sentence (R10, R15)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tenantry.core.errors import LicenseInvalid, ProductError, SettingsError
from tenantry.core.keys import thumbprint
from tenantry.core.license import (
    License,
    PublicKey,
    SigningKey,
    build_claims,
    by_kid,
    inspect,
    jwks,
    public_bundle,
    read_jwks,
    read_public_bundle,
    sign,
    token_hash,
    verify,
)
from tenantry.core.product import Product
from tenantry.core.product_file import load_product
from tenantry.core.terms import LicenseDates, Term

PRODUCT = """
name: acme
title: Acme
environment: production
platform: v1
estimated_time: 2-3 minutes
images: {web: web:1}
trial: {plan: small, days: 14, warn_days: 7, grace_days: 3}
plans:
  small: {title: Small, features: {reports: true}, limits: {seats: 5}, volumes: {data: 1Gi}}
secret: {name: acme-secrets, keys: {LICENSE: {source: license}}}
license:
  issuer: acme-licensing
  claims: CLAIMS
ingress: {routes: [{path: /, service: web, port: 80}]}
ready: {paths: [/]}
"""

ISSUED = datetime(2026, 11, 22, 12, tzinfo=UTC)
ENDS = datetime(2026, 12, 7, tzinfo=UTC)
DATES = LicenseDates(
    expires_at=ENDS, warn_at=ENDS - timedelta(days=7), grace_until=ENDS + timedelta(days=3)
)


def pem(key: Any, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))


def public_pem(key: Any) -> bytes:
    encoded = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return bytes(encoded)


ED = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RSA = rsa.generate_private_key(65537, 2048)
KEY = SigningKey.from_pem(pem(ED))
RSA_KEY = SigningKey.from_pem(pem(RSA))
KEYS = by_kid([KEY.public, RSA_KEY.public])


def product(claims: str = "{}") -> Product:
    return load_product(PRODUCT.replace("CLAIMS", claims), "product.yaml")


def claims(template: str = "{}", **other: Any) -> dict[str, Any]:
    return (
        build_claims(
            product=product(template),
            customer_id="cust-bcdfghjkmn",
            tenant="customer-bcdfghjkmn",
            plan="small",
            term=Term("trial", DATES),
            jti="lic-1",
            issued_at=ISSUED,
        )
        | other
    )


def token(key: SigningKey = KEY, **other: Any) -> str:
    return sign(claims(**other), key)


def forged(header: dict[str, Any], body: dict[str, Any], key: Any, algorithm: str) -> str:
    return jwt.encode(body, key, algorithm=algorithm, headers=header)


def handmade(header: object, body: bytes, private: ed25519.Ed25519PrivateKey = ED) -> str:
    """A token whose parts are exactly these, properly signed."""

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    start = f"{part(json.dumps(header).encode())}.{part(body)}"
    return f"{start}.{part(private.sign(start.encode()))}"


def check(text: str, now: datetime = ISSUED, **other: Any) -> License:
    return verify(text, KEYS, **{"audience": "acme", "now": now, **other})


# Issued and verified


@pytest.mark.parametrize("key", [KEY, RSA_KEY], ids=["EdDSA", "RS256"])
def test_a_license_says_what_it_is_for(key: SigningKey) -> None:
    text = token(key)
    assert jwt.get_unverified_header(text) == {
        "alg": key.algorithm,
        "typ": "license+jwt",
        "kid": key.kid,
    }
    assert check(text, issuer="acme-licensing") == License(
        id="lic-1",
        issuer="acme-licensing",
        customer_id="cust-bcdfghjkmn",
        plan="small",
        kind="trial",
        features={"reports": True},
        limits={"seats": 5},
        issued_at=ISSUED,
        not_before=ISSUED,
        expires_at=ENDS,
        warn_at=DATES.warn_at,
        grace_until=DATES.grace_until,
        kid=key.kid,
        claims=claims(),
    )


def test_the_vendors_own_library_verifies_it() -> None:
    text = sign(claims(exp=4_000_000_000, iat=1, nbf=1), KEY)
    decoded = jwt.decode(text, KEY.public_pem, algorithms=["EdDSA"], audience="acme")
    assert decoded["sub"] == "cust-bcdfghjkmn"


def test_eddsa_tokens_are_reproducible() -> None:
    assert token() == token()
    assert token_hash(token()) == hashlib.sha256(token().encode()).hexdigest()


def test_the_products_template_adds_claims_of_any_type() -> None:
    made = claims(
        '{features: {maxSeats: "{{ limits.seats }}"}, expiresAt: "{{ exp }}",'
        ' tenant: {id: "{{ tenant }}", label: "{{ product }}/{{ customer_id }}/{{ plan }}"}}'
    )
    assert made["features"] == {"reports": True, "maxSeats": 5}
    assert made["expiresAt"] == made["exp"] == int(ENDS.timestamp())
    assert made["tenant"] == {
        "id": "customer-bcdfghjkmn",
        "label": "acme/cust-bcdfghjkmn/small",
    }


@pytest.mark.parametrize("name", sorted(claims().keys()))
def test_the_template_replaces_no_standard_claim(name: str) -> None:
    with pytest.raises(ProductError, match=f"may not replace {name}"):
        claims(f"{{{name}: mine}}")


def test_the_template_replaces_no_feature_and_holds_only_json() -> None:
    with pytest.raises(ProductError, match=r"may not replace features\.reports"):
        claims("{features: {reports: false}}")
    with pytest.raises(ProductError, match="JSON"):
        claims("{ratio: .nan}")


def test_dates_without_an_offset_are_refused() -> None:
    naive = datetime(2026, 11, 22)  # noqa: DTZ001
    with pytest.raises(ValueError, match="offset"):
        build_claims(
            product=product(), customer_id="c", tenant="t", plan="small",
            term=Term("trial", DATES), jti="j", issued_at=naive,
        )  # fmt: skip


# Time


@pytest.mark.parametrize(
    ("at", "phase"),
    [
        (ISSUED, "valid"),
        (DATES.warn_at - timedelta(seconds=1), "valid"),
        (DATES.warn_at, "warning"),
        (ENDS - timedelta(seconds=1), "warning"),
        (ENDS, "grace"),
        (DATES.grace_until - timedelta(seconds=1), "grace"),
        (DATES.grace_until, "expired"),
    ],
)
def test_a_license_passes_through_its_phases(at: datetime, phase: str) -> None:
    assert check(token()).phase(at) == phase
    if phase in ("valid", "warning"):
        assert check(token(), at).id == "lic-1"
    else:
        with pytest.raises(LicenseInvalid, match=r"expired on 2026-12-07 00:00 UTC"):
            check(token(), at)
    if phase == "grace":
        assert check(token(), at, in_grace=True).id == "lic-1"
    if phase == "expired":
        with pytest.raises(LicenseInvalid, match="expired"):
            check(token(), at, in_grace=True)


def test_it_is_not_valid_before_its_time_but_clocks_may_differ_by_a_minute() -> None:
    assert check(token(), ISSUED - timedelta(seconds=60)).not_before == ISSUED
    with pytest.raises(LicenseInvalid, match="not valid before 2026-11-22 12:00 UTC"):
        check(token(), ISSUED - timedelta(seconds=61))


# Refused


def test_a_license_for_another_product_or_of_another_issuer() -> None:
    with pytest.raises(LicenseInvalid, match="another product"):
        check(token(), audience="acm")
    with pytest.raises(LicenseInvalid, match="somebody else"):
        check(token(), issuer="acme")
    assert check(token(aud=["other", "acme"])).id == "lic-1"
    assert verify(token(), KEYS, audience=None, now=ISSUED).id == "lic-1"


def test_an_unknown_key_is_named() -> None:
    stranger = SigningKey.from_pem(pem(ed25519.Ed25519PrivateKey.generate()))
    with pytest.raises(LicenseInvalid, match=f"key that is not known: '{stranger.kid}'"):
        check(token(stranger))
    with pytest.raises(LicenseInvalid, match="which key signed it"):
        check(jwt.encode(claims(), ED, algorithm="EdDSA"))


def test_a_strangers_signature_under_our_key_id() -> None:
    header = {"typ": "license+jwt", "kid": KEY.kid}
    stranger = ed25519.Ed25519PrivateKey.generate()
    with pytest.raises(LicenseInvalid, match="signature"):
        check(forged(header, claims(), stranger, "EdDSA"))


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS256", "ES256", "EdDSA "])
def test_the_token_does_not_choose_the_algorithm(algorithm: str) -> None:
    header = {"typ": "license+jwt", "kid": KEY.kid, "alg": algorithm}
    with pytest.raises(LicenseInvalid):
        check(handmade(header, json.dumps(claims()).encode()))


def test_a_public_key_is_no_shared_secret() -> None:
    # the classic confusion: HMAC with the published PEM as its key
    header = {"typ": "license+jwt", "kid": KEY.kid, "alg": "HS256"}
    start = handmade(header, json.dumps(claims()).encode()).rpartition(".")[0]
    mac = hmac.new(KEY.public_pem.encode(), start.encode(), "sha256").digest()
    with pytest.raises(LicenseInvalid, match="signature"):
        check(f"{start}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}")


def test_the_newer_name_of_eddsa_is_understood() -> None:
    header = {"typ": "license+jwt", "kid": KEY.kid, "alg": "Ed25519"}
    assert check(handmade(header, json.dumps(claims()).encode())).plan == "small"
    with pytest.raises(LicenseInvalid, match="signature"):
        check(handmade(header | {"kid": RSA_KEY.kid}, json.dumps(claims()).encode()))


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", None, ["license+jwt"], "LICENSE+JWT "])
def test_a_token_of_another_type_is_no_license(typ: object) -> None:
    header = {"typ": typ, "kid": KEY.kid, "alg": "EdDSA"}
    with pytest.raises(LicenseInvalid, match="type"):
        check(handmade(header, json.dumps(claims()).encode()))


def test_an_unknown_critical_header_is_refused() -> None:
    header = {"typ": "license+jwt", "kid": KEY.kid, "alg": "EdDSA", "crit": ["exp"]}
    with pytest.raises(LicenseInvalid):
        check(handmade(header, json.dumps(claims()).encode()))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sub", 7), ("sub", ""), ("iss", None), ("jti", ["x"]), ("plan", {}), ("kind", True),
        ("aud", None), ("aud", []), ("aud", ["acme", 1]), ("aud", {"acme": 1}),
        ("exp", "2026"), ("exp", True), ("exp", 1e9), ("exp", -1), ("exp", 10**20),
        ("nbf", None), ("iat", "1"), ("warn_at", None), ("grace_until", [1]),
        ("features", []), ("limits", None),
    ],
)  # fmt: skip
def test_claims_of_the_wrong_type(name: str, value: object) -> None:
    header = {"typ": "license+jwt", "kid": KEY.kid, "alg": "EdDSA"}
    body = json.dumps(claims() | {name: value}).encode()
    with pytest.raises(LicenseInvalid, match=f"claim {name} "):
        check(handmade(header, body))


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{", b"\xff", b"1" * 5000, b"[" * 9000, b'{"exp":Infinity}', b"\0"],
)
def test_signed_content_that_is_no_license(body: bytes) -> None:
    header = {"typ": "license+jwt", "kid": KEY.kid, "alg": "EdDSA"}
    with pytest.raises(LicenseInvalid):
        check(handmade(header, body))


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a.b.c", "a" * 20_000, "ü.ü.ü", "\ud83d", "e30.e30.e30", "\0.\0.\0", " "],
)
def test_texts_that_are_no_tokens(text: str) -> None:
    with pytest.raises(LicenseInvalid):
        check(text)


@pytest.mark.parametrize("text", ["", "a.b.c", "e30.e30", "bnVsbA.e30.e30", "e30.bnVsbA.e30"])
def test_not_even_inspect_reads_what_is_no_token(text: str) -> None:
    with pytest.raises(LicenseInvalid):
        inspect(text)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_mutation_is_believed_and_none_is_a_traceback(data: st.DataObject) -> None:
    original = token()
    position = data.draw(st.integers(0, len(original) - 1))
    length = data.draw(st.integers(0, 3))
    change = data.draw(st.text(max_size=4))
    text = original[:position] + change + original[position + length :]
    assert outcome(text) in (claims(), "refused")  # base64 spells some bytes in several ways


def outcome(text: str) -> object:
    """The claims that are believed; "refused" where that was said in a sentence."""
    try:
        return check(text).claims
    except LicenseInvalid as error:
        return "refused" if re.fullmatch(r"[A-Z][^\n]+\.", str(error)) else str(error)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.binary().map(lambda raw: raw.decode("latin-1"))))
def test_noise_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(LicenseInvalid):
        check(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(sorted(claims())), value=json_values)
@example(name="limits", value={"reports": math.nan})
def test_signed_nonsense_is_refused_or_harmless(name: str, value: object) -> None:
    header = {"typ": "license+jwt", "kid": KEY.kid, "alg": "EdDSA"}
    body = claims() | {name: value}
    assert outcome(handmade(header, json.dumps(body).encode())) in (body, "refused")


def test_inspect_reads_without_believing() -> None:
    stranger = SigningKey.from_pem(pem(ed25519.Ed25519PrivateKey.generate()))
    header, content = inspect(token(stranger))
    assert header["kid"] == stranger.kid
    assert content == claims()


def test_a_token_without_end_is_not_even_decoded() -> None:
    with pytest.raises(LicenseInvalid, match="too long"):
        check(token(more="x" * 20_000))


# Keys


def test_thumbprints_are_those_of_the_standards() -> None:
    # RFC 8037 A.3 and RFC 7638 3.1
    okp = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert thumbprint(okp) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert PublicKey.from_jwk(okp).kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"
        "BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"
        "FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4"
        "vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    key = PublicKey.from_jwk({"kty": "RSA", "n": modulus, "e": "AQAB"})
    assert key.kid == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_keys_survive_pem_and_jwks() -> None:
    published = jwks([KEY.public, RSA_KEY.public, KEY.public])
    assert [key["kid"] for key in published["keys"]] == [KEY.kid, RSA_KEY.kid]
    assert {(key["use"], key["alg"]) for key in published["keys"]} == {
        ("sig", "EdDSA"), ("sig", "RS256")
    }  # fmt: skip
    assert "d" not in published["keys"][0]
    assert read_jwks(json.loads(json.dumps(published))).keys() == KEYS.keys()
    bundle = public_bundle([KEY.public_pem, RSA_KEY.public_pem, KEY.public_pem])
    assert bundle == KEY.public_pem + RSA_KEY.public_pem
    assert read_public_bundle(f"# keys\r\n{bundle}".replace("\n", "\r\n")).keys() == KEYS.keys()
    assert verify(token(), read_jwks(published), audience="acme", now=ISSUED).kid == KEY.kid


def test_a_signing_key_does_not_show_itself() -> None:
    secret = base64.b64encode(ED.private_bytes_raw()).decode()
    assert repr(KEY) == f"SigningKey(kid='{KEY.kid}', algorithm='EdDSA')"
    assert secret not in f"{KEY}{KEY!r}{[KEY]}"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        pem(ec.generate_private_key(ec.SECP256R1())),
        pem(ed448.Ed448PrivateKey.generate()),
        pem(rsa.generate_private_key(65537, 1024)),  # noqa: S505 (to be refused)
        pem(ED, b"password"),
        public_pem(ED),
    ],
    ids=["empty", "broken", "EC", "Ed448", "RSA-1024", "encrypted", "public"],
)
def test_files_that_are_no_signing_keys(text: bytes) -> None:
    with pytest.raises(SettingsError):
        SigningKey.from_pem(text)


def test_an_encrypted_signing_key_opens_with_its_password() -> None:
    assert SigningKey.from_pem(pem(ED, b"password"), b"password").kid == KEY.kid


@pytest.mark.parametrize(
    "text",
    ["", "\ud83d", pem(ED).decode(), public_pem(ec.generate_private_key(ec.SECP256R1())).decode()],
    ids=["empty", "surrogate", "private", "EC"],
)
def test_texts_that_are_no_public_keys(text: str) -> None:
    with pytest.raises(SettingsError):
        PublicKey.from_pem(text)
    with pytest.raises(SettingsError):
        read_public_bundle(text)


@pytest.mark.parametrize(
    "body",
    [
        None, [], {}, {"keys": []}, {"keys": [1]}, {"keys": [{}]}, {"keys": [{"kty": "oct"}]},
        {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": 1}]},
        {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA"}]},
        {"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]},
    ],
)  # fmt: skip
def test_bodies_that_are_no_key_sets(body: object) -> None:
    with pytest.raises(SettingsError):
        read_jwks(body)


# What the documentation tells the product's developers


def test_the_python_example_of_the_documentation_works(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "licenses.md"
    example = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(compile(example, "docs/licenses.md", "exec"), names)  # noqa: S102
    read_license, refused = names["read_license"], names["LicenseError"]
    now = int(datetime.now(UTC).timestamp())
    bundle = public_bundle([RSA_KEY.public_pem, KEY.public_pem])
    good: dict[str, Any] = {
        "iat": now,
        "nbf": now,
        "exp": now + 60,
        "warn_at": now,
        "grace_until": now + 90,
    }
    for key in (KEY, RSA_KEY):
        assert read_license(token(key, **good), bundle, "acme")["plan"] == "small"
    ended = good | {"exp": now - 10}
    assert read_license(token(**ended), bundle, "acme")["read_only"] is True
    stranger = SigningKey.from_pem(pem(ed25519.Ed25519PrivateKey.generate()))
    for bad in (
        token(**(ended | {"grace_until": now - 5})),
        token(**(good | {"nbf": now + 3600})),
        token(stranger, **good),
        jwt.encode(claims(**good), ED, algorithm="EdDSA", headers={"kid": KEY.kid}),
        "noise",
    ):
        with pytest.raises(refused):
            read_license(bad, bundle, "acme")
    with pytest.raises(refused):
        read_license(token(**good), bundle, "other")
    for revoked, key, typ in (
        ([claims(**good)["jti"]], KEY, "license-revocations+jwt"),
        ([], KEY, "license+jwt"),
        ([], stranger, "license-revocations+jwt"),
    ):
        with pytest.raises(refused):
            read_license(token(**good), bundle, "acme", list_of(revoked, key, typ))
    harmless = list_of(["another"], RSA_KEY, "license-revocations+jwt")
    assert read_license(token(**good), bundle, "acme", harmless)["plan"] == "small"


def list_of(ids: list[str], key: SigningKey, typ: str) -> str:
    body = {"iss": "acme", "aud": "acme", "iat": 1, "revoked": [{"jti": i, "at": 1} for i in ids]}
    headers = {"typ": typ, "kid": key.kid}
    return jwt.encode(body, key.key, algorithm=key.algorithm, headers=headers)

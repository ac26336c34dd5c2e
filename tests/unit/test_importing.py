"""What a line of an import must say, and what is refused."""

from __future__ import annotations

import pytest

from tenantry.adapters.passwords import hash_password
from tenantry.core.errors import InvalidInput
from tenantry.core.importing import parse_customer

SOMEBODY = {"email": "Ada@Example.com", "company_name": " Test Corp "}
HASH = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43


def test_a_line_is_read_by_the_rules_of_a_signup() -> None:
    found = parse_customer({**SOMEBODY, "full_name": "Ada", "time_zone": "Europe/Berlin"})
    assert found.person.email == "Ada@example.com"
    assert found.person.company_name == "Test Corp"
    assert (found.person.full_name, found.person.time_zone) == ("Ada", "Europe/Berlin")
    assert found.password_hash is None


def test_empty_fields_of_a_csv_are_fields_that_are_not_given() -> None:
    found = parse_customer({**SOMEBODY, "full_name": "", "time_zone": "", "password_hash": ""})
    assert found == parse_customer(SOMEBODY)


def test_a_hash_of_our_own_is_taken() -> None:
    made = hash_password("SecurePass123")
    assert parse_customer({**SOMEBODY, "password_hash": made}).password_hash == made


@pytest.mark.parametrize(
    "value",
    [
        "SecurePass123",
        "$2b$12$abcdefghijklmnopqrstuuMZ5R3YJ1vW",
        HASH.replace("argon2id", "argon2i"),
        HASH.replace("v=19", "v=16"),
        HASH.replace("m=19456", "m=9999999"),
        HASH.replace("m=19456", "m=4"),
        HASH.replace("t=2", "t=0"),
        HASH.replace("p=1", "p=0"),
        HASH[:-20] + "é" * 20,
        HASH + "\n",
        7,
    ],
)
def test_other_hashes_are_refused_and_not_repeated(value: object) -> None:
    with pytest.raises(InvalidInput, match="password_hash") as refused:
        parse_customer({**SOMEBODY, "password_hash": value})
    assert str(value) not in str(refused.value) or value == 7


@pytest.mark.parametrize("name", ["password", "Password", " pwd "])
def test_plain_passwords_are_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(InvalidInput, match="plain passwords are not imported") as refused:
        parse_customer({**SOMEBODY, name: "SecurePass123"})
    assert "SecurePass123" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"email": ""}, "email is missing"),
        ({"company_name": None}, "company_name is missing"),
        ({"email": "nonsense"}, "Invalid email format"),
        ({"company_name": "two\nlines"}, "one line"),
        ({"company_name": "not \udcff UTF-8"}, "control characters"),
        ({"time_zone": "Nowhere/City"}, "Unknown time zone"),
        ({"plan": "enterprise"}, "unknown: 'plan'; known: email"),
    ],
)
def test_each_fault_is_named(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        parse_customer({**SOMEBODY, **changes})


def test_a_hash_is_not_shown_by_accident() -> None:
    assert HASH not in repr(parse_customer({**SOMEBODY, "password_hash": HASH}))

"""What a signup may say, fault by fault, in the specification's words (R1-R3)."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tenantry.core.errors import InvalidInput
from tenantry.core.signup import (
    Rules,
    SignupRequest,
    common_passwords,
    email_key,
    normalize_email,
    parse_signup,
)

RULES = Rules()
GOOD = {"email": "test@example.com", "password": "SecurePass123", "company_name": "Test Corp"}


def refusal(**fields: object) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        parse_signup({**GOOD, **fields}, rules=RULES)
    return caught.value


def test_the_specifications_example_is_accepted() -> None:
    got = parse_signup(GOOD, rules=RULES)
    assert (got.email, got.company_name, got.full_name) == ("test@example.com", "Test Corp", None)
    assert got.time_zone == "UTC"
    assert got.password.reveal() == "SecurePass123"


@pytest.mark.parametrize("name", ["email", "password", "company_name"])
@pytest.mark.parametrize("value", [None, "", 0, 7, True, [], ["a"], {}, {"a": 1}, 1.5])
def test_missing_or_not_text_is_missing(name: str, value: object) -> None:
    fault = refusal(**{name: value})
    assert fault.message == "Email, password, and company name are required"
    assert (fault.field, fault.code) == (name, "missing_field")


@pytest.mark.parametrize("value", ["   ", "\t", "\u00a0", "\u2028", "\n", "\u200b", "\u200d "])
def test_a_company_name_that_nobody_can_see_is_missing(value: str) -> None:
    assert refusal(company_name=value).code == "missing_field"


def test_faults_are_told_in_the_specifications_order() -> None:
    bad = {"email": "nope", "password": "short", "company_name": "a\nb", "time_zone": "x"}
    order = []
    for fix in ({}, {"email": "a@b.example"}, {"password": "SecurePass123"}, {"company_name": "x"}):
        bad.update(fix)
        with pytest.raises(InvalidInput) as caught:
            parse_signup(bad, rules=RULES)
        order.append(caught.value.field)
    assert order == ["email", "password", "company_name", "time_zone"]


@pytest.mark.parametrize(
    "email",
    [
        "nope", "a@b", "@example.com", "a@", "a b@example.com", "a@exam ple.com", "a@@example.com",
        "a@example..com", "a@.example.com", "a@1.2.3.4", "a@[127.0.0.1]", "Ada <a@example.com>",
        '"a b"@example.com', "a@example.com\n", "a@example.com\r\nBcc: b@example.com",
        "a\0@example.com", "\ud83d@example.com", "a@\ud83d.com", "a@example.com,b@example.com",
        "a" * 65 + "@example.com", "a@" + "b" * 250 + ".com", "a@-example.com",
        "\u2028@example.com", "a@localhost",
    ],
)  # fmt: skip
def test_a_malformed_email_is_refused(email: str) -> None:
    fault = refusal(email=email)
    assert (fault.message, fault.field) == ("Invalid email format", "email")


@pytest.mark.parametrize(
    "email",
    [
        "a.b+c@example.com",
        "a@example.co.uk",
        "a@corp.internal",
        "o'brien@example.com",
        "ü@example.com",
    ],
)
def test_an_unusual_email_is_accepted(email: str) -> None:
    assert parse_signup({**GOOD, "email": email}, rules=RULES).email == email


def test_spellings_of_one_mailbox_have_one_key() -> None:
    spellings = [
        "Ada@M\u00fcnchen.example", "ada@mu\u0308nchen.example", "ADA@M\u00dcNCHEN.EXAMPLE",
        "ada@xn--mnchen-3ya.example", " ada@XN--MNCHEN-3YA.example ",
    ]  # fmt: skip
    assert len({email_key(normalize_email(s)) for s in spellings}) == 1
    assert {normalize_email(s).partition("@")[2] for s in spellings} == {"m\u00fcnchen.example"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada+a@example.com", "ada@example.com"),
        ("ada+a@example.com", "ada+b@example.com"),
        ("a.da@example.com", "ada@example.com"),
        ("ada@stra\u00dfe.example", "ada@strasse.example"),
        ("ada@example.com", "\u0430da@example.com"),
    ],
)
def test_different_mailboxes_have_different_keys(one: str, other: str) -> None:
    assert email_key(normalize_email(one)) != email_key(normalize_email(other))


@pytest.mark.parametrize(
    ("password", "text"),
    [
        ("short", "Password must be at least 8 characters"),
        ("1234567", "Password must be at least 8 characters"),
        ("e\u0301" * 7, "Password must be at least 8 characters"),
        ("x9" * 513, "Password must be at most 1024 characters"),
        ("SecurePass\ud83d", "Password contains characters that cannot be used"),
        ("password123", "Password is too common; choose another one"),
        ("PassWord123", "Password is too common; choose another one"),
        ("zzzzzzzzzzzz", "Password is too common; choose another one"),
        ("TEST@example.com", "Password must not be the email or company name"),
        ("a.long.name", "Password must not be the email or company name"),
        ("Some Company", "Password must not be the email or company name"),
        ("somecompany", "Password must not be the email or company name"),
    ],
)
def test_a_bad_password_is_refused_with_its_reason(password: str, text: str) -> None:
    email = "a.long.name@example.com" if password == "a.long.name" else "test@example.com"
    fault = refusal(password=password, company_name="Some Company", email=email)
    assert (fault.message, fault.field) == (text, "password")


@pytest.mark.parametrize(
    "password",
    ["SecurePass123", "aaaaaaab", "kein Leerzeichen ist falsch", "  spaced  ", "\u5bc6" * 7 + "a",
     "x9" * 512, "\U0001f600" * 7 + "!", "tab\there!", "nul\0inside"],
)  # fmt: skip
def test_no_composition_rules(password: str) -> None:
    assert parse_signup({**GOOD, "password": password}, rules=RULES).password.reveal() == password


def test_the_minimum_is_a_setting() -> None:
    with pytest.raises(InvalidInput, match=r"^Password must be at least 14 characters$"):
        parse_signup(GOOD, rules=Rules(minimum=14))
    parse_signup(GOOD, rules=Rules(minimum=13))


def test_one_password_typed_on_two_keyboards_is_the_same() -> None:
    typed = ["Gr\u00fc\u00dfe aus K\u00f6ln", "Gru\u0308\u00dfe aus Ko\u0308ln"]
    got = {parse_signup({**GOOD, "password": t}, rules=RULES).password.reveal() for t in typed}
    assert len(got) == 1


def test_a_password_is_not_shown() -> None:
    request = parse_signup(GOOD, rules=RULES)
    shown = f"{request!r} {request} {request.password} {request.password!r}"
    assert "SecurePass123" not in shown
    assert "***" in shown


def test_only_a_wrapped_password_makes_a_request() -> None:
    with pytest.raises(ValidationError, match="instance of Password"):
        SignupRequest.model_validate(GOOD)


def test_the_shipped_list_is_usable() -> None:
    common = common_passwords()
    assert len(common) > 500
    assert all(len(p) >= 8 and p == p.casefold() for p in common)


HOSTILE = [
    "{{7*7}}", "$(id)", "1e3", ": -", "../", "../../etc/passwd", "-rf", "--help", "null", "0o17",
    "<script>alert(1)</script>", "'; drop table customers; --", '"quoted"', "a: b # c", "%s%n",
    "\u0634\u0631\u0643\u0629 \u0645\u062b\u0627\u0644", "\u202eCorp", "\U0001f680 Rocket", "&amp;",
    "\U0001f469\u200d\U0001f4bb Ltd", "&lt;b&gt;", "${jndi:ldap://x}", "`id`", "\\u0041", "Z" * 200,
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_but_printable_name_is_kept_as_typed(name: str) -> None:
    got = parse_signup({**GOOD, "company_name": name, "full_name": name}, rules=RULES)
    assert (got.company_name, got.full_name) == (name, name)


@pytest.mark.parametrize(
    "bad",
    ["\n", "\r", "\t", "\0", "\x1b", "\x7f", "\u0085", "\u2028", "\u2029", chr(0xD83D), "\ufffd",
     "\ufffe", "\uffff", "\U0001ffff"],
)  # fmt: skip
@pytest.mark.parametrize("field", ["company_name", "full_name"])
@pytest.mark.parametrize("shape", ["Acme{}Corp", "{}Acme", "Acme{}"])
def test_what_breaks_a_line_or_a_file_is_refused(bad: str, field: str, shape: str) -> None:
    fault = refusal(**{field: shape.format(bad)})
    assert fault.field == field
    assert fault.message.endswith("must be one line without control characters")


def test_names_are_trimmed_and_bounded() -> None:
    got = parse_signup({**GOOD, "company_name": "  Test  Corp \u00a0"}, rules=RULES)
    assert got.company_name == "Test  Corp"
    assert refusal(company_name="x" * 201).message == "Company name must be at most 200 characters"
    assert refusal(full_name="x" * 201).message == "Full name must be at most 200 characters"
    assert refusal(full_name=7).message == "Full name must be text"
    assert parse_signup({**GOOD, "full_name": "  "}, rules=RULES).full_name is None


@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC", "America/Argentina/Ushuaia", "Etc/GMT+5"])
def test_an_iana_time_zone_is_kept(zone: str) -> None:
    assert parse_signup({**GOOD, "time_zone": zone}, rules=RULES).time_zone == zone


@pytest.mark.parametrize("zone", ["europe/berlin", "EUROPE/BERLIN", "Europe/berlin"])
def test_a_time_zone_is_taken_in_any_case(zone: str) -> None:
    assert parse_signup({**GOOD, "time_zone": zone}, rules=RULES).time_zone == "Europe/Berlin"


@pytest.mark.parametrize("zone", [None, ""])
def test_no_time_zone_is_utc(zone: object) -> None:
    assert parse_signup({**GOOD, "time_zone": zone}, rules=RULES).time_zone == "UTC"


@pytest.mark.parametrize(
    "zone",
    ["Mars/Olympus", "../../etc/passwd", "/etc/localtime", "Europe", "Europe/", "europe berlin",
     "zone.tab", "localtime", 7, [], "x" * 10_000, "Europe/Berlin\0", "Europe/Berlin\n", "\ud83d"],
)  # fmt: skip
def test_another_time_zone_is_refused(zone: object) -> None:
    fault = refusal(time_zone=zone)
    assert fault.message == "Unknown time zone; give an IANA name such as Europe/Berlin"


_ANYTHING = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text())


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # first draw builds tables
@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys((*GOOD, "full_name", "time_zone"), _ANYTHING))
)
def test_any_input_is_either_valid_or_refused(fields: dict[str, object]) -> None:
    with suppress(InvalidInput):
        got = parse_signup({**GOOD, **fields}, rules=RULES)
        got.model_dump_json(exclude={"password"})
        got.email_key.encode()
        assert normalize_email(got.email) == got.email

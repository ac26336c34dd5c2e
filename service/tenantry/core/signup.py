"""What a signup must say (R1, R2), and in which order its faults are told.

`parse_signup` is the one way to a `SignupRequest`: JSON body, form body and command line all go
through it, so they agree on what is valid and on the words. It never looks an e-mail up.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import resources
from typing import Any

from email_validator import EmailNotValidError, validate_email
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from tenantry.core.days import find_time_zone
from tenantry.core.errors import InvalidInput

MISSING = "Email, password, and company name are required"
BAD_EMAIL = "Invalid email format"

NAME_LENGTH = 200
PASSWORD_MINIMUM = 8
PASSWORD_MAXIMUM = 1024


class Password:
    """A password that neither repr nor str nor a log shows; `reveal` gives it to the hasher."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "***"

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.is_instance_schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "type": "string",
            "format": "password",
            "minLength": PASSWORD_MINIMUM,
            "maxLength": PASSWORD_MAXIMUM,
        }


class Person(BaseModel):
    """Who a new customer is."""

    model_config = ConfigDict(frozen=True)

    email: str = Field(
        max_length=254,
        description="Where welcome and ready mails go. `you+tag@…` is a customer of its own.",
        json_schema_extra={"format": "email"},
        examples=["test@example.com"],
    )
    company_name: str = Field(
        min_length=1,
        max_length=NAME_LENGTH,
        description="One line, shown as typed.",
        examples=["Test Corp"],
    )
    full_name: str | None = Field(
        default=None,
        max_length=NAME_LENGTH,
        description="The contact's name.",
        examples=["Ada Lovelace"],
    )
    time_zone: str = Field(
        default="UTC",
        max_length=64,
        description="IANA name, in any case; the trial ends at the end of its last day there.",
        examples=["Europe/Berlin"],
    )

    @cached_property
    def email_key(self) -> str:
        """What makes an e-mail unique (R3); see `email_key`."""
        return email_key(self.email)


class SignupRequest(Person):
    """A new customer, as typed into the signup form."""

    password: Password = Field(
        description="At least 8 characters, no common one, neither e-mail nor company name; "
        "any characters.",
        examples=["SecurePass123"],
    )


@cache
def common_passwords() -> frozenset[str]:
    """The list shipped beside this module, casefolded."""
    text = resources.files(__package__).joinpath("common_passwords.txt").read_text("utf-8")
    return frozenset(line.casefold() for line in text.splitlines() if line)


@dataclass(frozen=True)
class Rules:
    """What an operator may set about passwords."""

    minimum: int = PASSWORD_MINIMUM  # characters
    maximum: int = PASSWORD_MAXIMUM  # characters
    common: frozenset[str] = field(default_factory=common_passwords)  # casefolded


def parse_signup(data: Mapping[str, object], *, rules: Rules) -> SignupRequest:
    """A valid signup from untrusted fields; unknown fields are ignored.

    Raises InvalidInput, with the field, for the first fault in the specification's order: missing
    fields, e-mail, password, then names and time zone.
    """
    for name in ("email", "password", "company_name"):
        if not _is_given(data.get(name), trim=name != "password"):
            raise InvalidInput(MISSING, field=name, code="missing_field")
    email = normalize_email(str(data["email"]))
    password = _check_password(str(data["password"]), email, str(data["company_name"]), rules)
    return SignupRequest(email=email, password=password, **_rest(data))


def new_password(typed: object, email: str, company: str, *, rules: Rules) -> Password:
    """A password for somebody who is known, by the rules of a signup; InvalidInput likewise."""
    if not _is_given(typed, trim=False):
        raise _bad_password("Password is missing", "missing_field")
    return _check_password(str(typed), email, company, rules)


def typed_password(typed: object) -> Password:
    """What was typed as the password that was chosen once; nothing that none can be."""
    text = typed if isinstance(typed, str) and _is_encodable(typed) else ""
    return Password(unicodedata.normalize("NFC", text))


def typed_email_key(typed: object) -> str:
    """The key of an address that was typed; empty, which is nobody's, where it is none."""
    try:
        return email_key(normalize_email(typed)) if isinstance(typed, str) else ""
    except InvalidInput:
        return ""


def parse_person(data: Mapping[str, object]) -> Person:
    """Who somebody is that brings no password, by the rules of a signup; InvalidInput likewise."""
    for name in ("email", "company_name"):
        if not _is_given(data.get(name), trim=True):
            raise InvalidInput(f"{name} is missing", field=name, code="missing_field")
    return Person(email=normalize_email(str(data["email"])), **_rest(data))


def _rest(data: Mapping[str, object]) -> dict[str, Any]:
    """What else is known of a person."""
    return {
        "company_name": _check_name(str(data["company_name"]), "company_name", "Company name"),
        "full_name": _check_full_name(data.get("full_name")),
        "time_zone": check_time_zone(data.get("time_zone")),
    }


def normalize_email(text: str) -> str:
    """The form in which an address is stored and written to; InvalidInput where it is none."""
    try:
        found = validate_email(text.strip(" \t"), check_deliverability=False, strict=True)
    except (EmailNotValidError, UnicodeError):
        raise InvalidInput(BAD_EMAIL, field="email", code="invalid_email") from None
    return found.normalized


def email_key(email: str) -> str:
    """Equal for two normalized addresses that are one mailbox: case of the local part and the
    domain's spelling (Unicode or punycode) do not count, plus tags do.

    The domain goes in as ASCII: casefold alone would make straße.example strasse.example.
    """
    found = validate_email(email, check_deliverability=False)
    local = unicodedata.normalize("NFC", found.local_part.casefold())
    return f"{local}@{found.ascii_domain.lower()}"


def _is_given(value: object, *, trim: bool) -> bool:
    if not isinstance(value, str):
        return False
    return _is_visible(value) if trim else value != ""


def _is_visible(text: str) -> bool:
    """Whether anything of the text would be seen or refused; spaces and joiners are not."""
    return any(not c.isspace() and unicodedata.category(c) not in ("Cf", "Mn", "Me") for c in text)


def _check_password(typed: str, email: str, company: str, rules: Rules) -> Password:
    # NFC: the same password typed on another keyboard must be the same bytes
    text = unicodedata.normalize("NFC", typed)
    if len(text) < rules.minimum:
        fault = f"Password must be at least {rules.minimum} characters"
        raise _bad_password(fault, "password_too_short")
    if len(text) > rules.maximum:
        fault = f"Password must be at most {rules.maximum} characters"
        raise _bad_password(fault, "password_too_long")
    if not _is_encodable(text):
        fault = "Password contains characters that cannot be used"
        raise _bad_password(fault, "password_characters")
    if text.casefold() in rules.common or len(set(text)) == 1:
        fault = "Password is too common; choose another one"
        raise _bad_password(fault, "password_common")
    if _squeeze(text) in {_squeeze(email), _squeeze(email.partition("@")[0]), _squeeze(company)}:
        fault = "Password must not be the email or company name"
        raise _bad_password(fault, "password_guessable")
    return Password(text)


def _bad_password(fault: str, code: str) -> InvalidInput:
    return InvalidInput(fault, field="password", code=code)


def _squeeze(text: str) -> str:
    return "".join(unicodedata.normalize("NFC", text).casefold().split())


def _is_encodable(text: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in text)


def _check_full_name(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidInput("Full name must be text", field="full_name", code="invalid_full_name")
    return _check_name(value, "full_name", "Full name") if _is_visible(value) else None


def _check_name(text: str, name: str, label: str) -> str:
    """The text without surrounding spaces; kept as typed otherwise, however hostile it looks."""
    if any(_is_refused(c) for c in text):
        fault = f"{label} must be one line without control characters"
        raise InvalidInput(fault, field=name, code=f"invalid_{name}")
    trimmed = text.strip()
    if len(trimmed) > NAME_LENGTH:
        fault = f"{label} must be at most {NAME_LENGTH} characters"
        raise InvalidInput(fault, field=name, code=f"invalid_{name}")
    return trimmed


def _is_refused(c: str) -> bool:
    """Control characters, line breaks of any kind, surrogates, and what YAML cannot carry."""
    if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp"):
        return True
    return c == "\ufffd" or ord(c) & 0xFFFE == 0xFFFE


def check_time_zone(value: object) -> str:
    """The time zone as it is spelled, UTC where none is given; InvalidInput where there is no
    such.
    """
    if value is None or value == "":
        return "UTC"
    found = find_time_zone(value) if isinstance(value, str) else None
    if found is None:
        raise InvalidInput(
            "Unknown time zone; give an IANA name such as Europe/Berlin",
            field="time_zone",
            code="invalid_time_zone",
        )
    return found

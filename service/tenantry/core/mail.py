"""The kinds of mail, whom each is for (R50), and how it names them."""

from __future__ import annotations

import re
from enum import StrEnum


class MailKind(StrEnum):
    """A kind of mail; its value names its template."""

    CONFIRM = "confirm"  # is the address right?
    WELCOME = "welcome"
    DECLINED = "declined"  # the signup
    READY = "ready"
    FAILED = "failed"  # the deployment, for the customer
    SUPPORT = "support"  # the same, for those who can mend it
    ADDRESS_REFUSED = "address_refused"  # no mail reaches the customer, for the same
    TRIAL_ENDING = "trial_ending"  # 7 days left, 2 days left
    TRIAL_ENDED = "trial_ended"  # and it is read-only from now on
    PAYMENT_FAILED = "payment_failed"
    CANCELLED = "cancelled"
    READ_ONLY = "read_only"  # after what was paid
    READ_ONLY_OVER = "read_only_over"  # tomorrow: the read-only days end
    SUSPENDED = "suspended"
    PAYMENT_RECEIVED = "payment_received"
    PLAN_CHANGED = "plan_changed"
    LICENSE_RENEWED = "license_renewed"
    RESET = "reset"  # the password


# What the text of a mail may say; docs/mail.md tells what each is.
NAMES = frozenset(
    {
        "product", "support", "customer_id", "email", "company_name", "full_name", "instance_url",
        "login_url", "login_name", "status_url", "trial_days", "last_day", "status", "reason",
        "resource", "application_url", "plan", "days_left", "grace_days", "stage", "state",
        "account_url", "confirm_url", "reset_url", "was_ready", "is_paid", "paid_until",
        "runs_until", "read_only_until", "suspended_on", "estimated_time", "reason_code",
        "was_asked_for",
    }
)  # fmt: skip

FOR_SUPPORT = frozenset({MailKind.SUPPORT, MailKind.ADDRESS_REFUSED})

# About its instance as such: not for a customer who came by an import that writes to nobody.
OF_INSTANCE = frozenset(
    {
        MailKind.CONFIRM,
        MailKind.WELCOME,
        MailKind.DECLINED,
        MailKind.READY,
        MailKind.FAILED,
    }
)

# Each says where the subscription stands, so a later one makes those before it void.
OF_SUBSCRIPTION = frozenset(
    {
        MailKind.TRIAL_ENDING,
        MailKind.TRIAL_ENDED,
        MailKind.PAYMENT_FAILED,
        MailKind.CANCELLED,
        MailKind.READ_ONLY,
        MailKind.READ_ONLY_OVER,
        MailKind.SUSPENDED,
    }
)

# Their links are good once, and made when somebody asks for them.
OF_ACCOUNT = frozenset({MailKind.CONFIRM, MailKind.RESET})

# Somebody sits there and waits, or a link runs out, so these go before all others.
WAITED_FOR = OF_ACCOUNT | {MailKind.WELCOME, MailKind.READY}

# What mail programs make a link of; with the full stops of other scripts, which domains know too.
_DOT = "[.\u3002\uff0e\uff61]"
_LINK = re.compile(rf"://|(?<=www){_DOT}|(?<=\w){_DOT}(?=\w\w)", re.IGNORECASE)
_NUMBER = re.compile(r"(?:\d[\s()./-]*){5}")


def name_to_greet(full_name: str | None) -> str | None:
    """The name; None where it is more than one, with a link or a telephone number. Whoever signs
    up with a stranger's address would have us send the stranger such words.
    """
    if full_name is None or _LINK.search(full_name) or _NUMBER.search(full_name):
        return None
    return full_name


def without_links(text: str) -> str:
    """The text, in which no mail program finds a link."""
    return _LINK.sub(" ", text)

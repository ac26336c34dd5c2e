"""The kinds of mail, and whom each is for (R50)."""

from __future__ import annotations

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

"""What a payment provider's message says, and whether it comes from who knows the secret (R52).

What is signed but not understood is no error: it becomes one event of the kind `OTHER`, which is
kept and changes nothing. No amount, address or name is read.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from tenantry.core.product import Plan
from tenantry.core.subscription import Event, EventKind

TOLERANCE = timedelta(minutes=5)  # of the time that a signature names, both ways
AHEAD = timedelta(days=1)  # that a message's own time may be: a later one would always be the last
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
LONGEST = 200  # characters of an id, a type, a plan

STRIPE_HEADER = "Stripe-Signature"
PLAIN_HEADER = "X-Signature-256"

Plans = Mapping[str, Plan]


class Scheme(StrEnum):
    """How messages are signed, and what is in them."""

    STRIPE = "stripe"
    HMAC = "hmac"


@dataclass(frozen=True)
class Message:
    """What a message says. It names our customer by its id, or by what the payment provider calls
    it, or both, or nobody. `reason`: why it was not understood.
    """

    id: str
    type: str
    at: datetime
    events: tuple[Event, ...] = field(default=())
    customer_id: str | None = None
    billing_customer: str | None = None
    reason: str | None = None


class NotUnderstood(Exception):
    """A message says something that a subscription does not follow."""


# Signatures


def is_genuine(
    scheme: Scheme, headers: Mapping[str, str], body: bytes, secret: str, now: datetime
) -> bool:
    """Whether the message proves to know the secret, and Stripe's to be no older than `TOLERANCE`:
    found out in constant time. `headers` are as WSGI has them; `body` is what was sent.
    """
    key = secret.encode()
    if scheme == Scheme.HMAC:
        expected = f"sha256={_digest(key, body)}"
        return _is_same(expected, headers.get(PLAIN_HEADER, ""))
    pairs = [part.strip().partition("=") for part in headers.get(STRIPE_HEADER, "").split(",")]
    said = [value for name, _, value in pairs if name == "t"]
    if len(said) != 1 or not re.fullmatch(r"[0-9]{1,12}", said[0], re.ASCII):
        return False
    if abs(now.timestamp() - int(said[0])) > TOLERANCE.total_seconds():
        return False
    expected = _digest(key, said[0].encode() + b"." + body)
    return any(_is_same(expected, value) for name, _, value in pairs if name == "v1")


def _digest(key: bytes, content: bytes) -> str:
    return hmac.new(key, content, hashlib.sha256).hexdigest()


def _is_same(expected: str, offered: str) -> bool:
    return hmac.compare_digest(expected.encode(), offered.encode("utf-8", "replace"))


# Messages


def read(message: object, said: Callable[[object], Message], body: bytes, now: datetime) -> Message:
    """What `said` finds in a message; one event of the kind `OTHER` where it does not understand,
    or the message says that it is from tomorrow.
    """
    try:
        found = said(message)
        if found.at > now + AHEAD:
            raise NotUnderstood("it says that it is from the future")
    except NotUnderstood as error:
        return _kept(message, str(error), body, now)
    return found


def _kept(message: object, reason: str, body: bytes, now: datetime) -> Message:
    own_id = word(dig(message, "id")) or hashlib.sha256(body).hexdigest()
    thing = dig(message, "data", "object")
    return Message(
        id=own_id,
        type=word(dig(message, "type")) or "unknown",
        at=now,
        events=(
            Event(
                f"{own_id}/{EventKind.OTHER}",
                EventKind.OTHER,
                now,
                subscription=subscription_of(thing),
            ),
        ),
        customer_id=word(dig(message, "customer_id")),
        billing_customer=word(name_of(dig(thing, "customer"))),
        reason=reason,
    )


_PLAIN = tuple(kind for kind in EventKind if kind not in (EventKind.LINKED, EventKind.OTHER))


def read_plain(message: object, plans: Plans) -> Message:
    """A message of the scheme `hmac`: an object with `id`, `type`, `created`, `customer_id`, and
    for some types `plan` and `until`. NotUnderstood for anything else.
    """
    kind, plan = dig(message, "type"), word(dig(message, "plan"))
    if kind not in _PLAIN:
        raise NotUnderstood("its type is none of " + ", ".join(_PLAIN))
    if plan not in plans and dig(message, "plan") is not None:
        raise NotUnderstood("the product has no such plan")
    if kind == EventKind.PLAN and plan is None:
        raise NotUnderstood("it names no plan")
    own_id, at = required_word(message, "id"), required_moment(message, "created")
    until = moment(dig(message, "until"))
    return Message(
        id=own_id,
        type=str(kind),
        at=at,
        events=(Event(f"{own_id}/{kind}", EventKind(str(kind)), at, plan, until, receipt=own_id),),
        customer_id=required_word(message, "customer_id"),
    )


# Reading what somebody else wrote


def dig(value: object, *path: str) -> object:
    """What is in there under these names; None where there is nothing, or no object."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def word(value: object) -> str | None:
    """A short text of one line that can be stored and logged; None for anything else."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST:
        return None
    return value if value.isascii() and value.isprintable() else None


def name_of(value: object) -> object:
    """The id of something that stands there in full, or as its id alone."""
    return dig(value, "id") if isinstance(value, dict) else value


def subscription_of(thing: object) -> str | None:
    """Stripe's id of the subscription that an invoice or a checkout is of; newer invoices have it
    further in.
    """
    newer = dig(thing, "parent", "subscription_details", "subscription")
    return word(name_of(dig(thing, "subscription") or newer))


def moment(value: object) -> datetime | None:
    """The moment that unix seconds, or ISO 8601 with an offset, say; None for None. NotUnderstood
    for what is neither, or so far away that no calendar can be kept there.
    """
    if value is None:
        return None
    try:
        found = _moment(value)
    except (ValueError, OverflowError, OSError):
        found = None
    if found is None or not EARLIEST <= found < LATEST:
        raise NotUnderstood("a time in it is none")
    return found


def _moment(value: object) -> datetime | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    if not isinstance(value, str):
        return None
    found = datetime.fromisoformat(value)
    return found.astimezone(UTC) if found.tzinfo else None


def required_word(message: object, *path: str) -> str:
    """The word there; NotUnderstood where there is none."""
    found = word(dig(message, *path))
    if found is None:
        raise NotUnderstood(f"its {'.'.join(path)} is missing or no short text")
    return found


def required_moment(message: object, *path: str) -> datetime:
    """The moment there; NotUnderstood where there is none."""
    found = moment(dig(message, *path))
    if found is None:
        raise NotUnderstood(f"its {'.'.join(path)} is missing")
    return found

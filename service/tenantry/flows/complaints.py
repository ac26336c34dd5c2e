"""What the database knows that needs a person, for `tenantry doctor`: a few counts, each with what
to do about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Customer
from tenantry.flows import flags
from tenantry.flows.gauges import count_ending, count_overdue, count_unclear_billing


@dataclass(frozen=True)
class Look:
    """What was looked at; `remedy` is empty where it is as it should be."""

    id: str
    message: str
    remedy: str = ""


def look(session: Session, now: datetime) -> Iterator[Look]:
    """Every look, good and bad."""
    yield _flags(session)
    refused, nobody = _count_refused(session), count_unclear_billing(session)["nobody"]
    overdue, ending = count_overdue(session, now), count_ending(session, now)
    yield _judge(
        "mail.addresses", refused, "customers' addresses that take no mail",
        "`tenantry mail list --refused` names them, `tenantry mail correct` mends one",
    )  # fmt: skip
    yield _judge(
        "billing.customers", nobody, "messages about payments of customers whom nobody knows",
        "see docs/billing.md: say which customer is meant",
    )  # fmt: skip
    yield _judge(
        "subscriptions.followed", overdue, "subscriptions that nobody has followed for an hour",
        "see that a worker runs, and in its log for `subscription.not_followed`",
    )  # fmt: skip
    yield _judge(
        "licenses.renewed", ending, "paid licenses of active tenants that end within days",
        "see that a worker runs; `tenantry tenants renew cust-…` issues one anew",
    )  # fmt: skip


def _flags(session: Session) -> Look:
    moved = [each for each in flags.stand(session) if each.is_moved]
    told = "; ".join(each.as_text() for each in moved)
    back = "when that is over: " + "; ".join(f"`{each.back}`" for each in moved)
    return Look("flags", told or "every switch is where it usually is", back if moved else "")


def _judge(look_id: str, number: int, what: str, remedy: str) -> Look:
    return Look(look_id, f"{number or 'no'} {what}", remedy if number else "")


def _count_refused(session: Session) -> int:
    refused = (Customer.email_refused_at.is_not(None), Customer.erased_at.is_(None))
    return session.scalar(select(func.count()).where(*refused)) or 0

"""What the database knows that needs a person, for `tenantry doctor`: a few counts, each with what
to do about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import BillingEvent, Customer, Subscription
from tenantry.core.subscription import EventKind, Stage
from tenantry.flows import flags
from tenantry.flows.gauges import (
    count,
    count_ending,
    count_overdue,
    count_refused_addresses,
    count_unclear_billing,
)
from tenantry.flows.subscriptions.booking import BILLING

_INVOICES = ("invoice.paid", "invoice.payment_succeeded")  # that were paid, as Stripe says it


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `remedy` is empty where it is as it should be."""

    id: str
    message: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        return not self.remedy


def look(session: Session, now: datetime) -> Iterator[Finding]:
    """Every finding, good and bad."""
    yield _flags(session)
    refused, nobody = count_refused_addresses(session), count_unclear_billing(session)["nobody"]
    overdue, ending = count_overdue(session, now), count_ending(session, now)
    yield _judge(
        "mail.addresses", refused, "customers' addresses that take no mail",
        "`tenantry mail list --refused` names them, `tenantry mail correct` mends one",
    )  # fmt: skip
    yield _judge(
        "billing.customers", nobody, "messages about payments of customers whom nobody knows",
        "look in the log for `billing.kept`; docs/billing.md says which customer is meant",
    )  # fmt: skip
    yield _judge(
        "billing.payments", _count_unread(session), "customers who paid for no plan that is known",
        "name the price in product.yaml, and have the payment provider send it again; the log "
        "says why, at `billing.kept`",
    )  # fmt: skip
    yield _judge(
        "billing.heard", _count_unheard(session),
        "subscriptions that were paid, are due, and nothing came from the payment provider since",
        "see there what its messages were answered, and in the log for `billing.refused`: its "
        "secret, TENANTRY_BILLING_SECRET_FILE, may be another",
    )  # fmt: skip
    yield _judge(
        "subscriptions.followed", overdue, "subscriptions that nobody has followed for an hour",
        "see that a worker runs, and in its log for `subscription.not_followed`",
    )  # fmt: skip
    yield _judge(
        "licenses.renewed", ending, "paid licenses of active tenants that end within days",
        "see that a worker runs; `tenantry tenants renew cust-…` issues one anew",
    )  # fmt: skip


def _flags(session: Session) -> Finding:
    moved = [each for each in flags.stand(session) if each.is_moved]
    told = "; ".join(each.as_text() for each in moved)
    back = "when that is over: " + "; ".join(f"`{each.back}`" for each in moved)
    return Finding("flags", told or "every switch is where it usually is", back if moved else "")


def _judge(finding_id: str, number: int, what: str, remedy: str) -> Finding:
    return Finding(finding_id, f"{what}: {number or 'none'}", remedy if number else "")


def _count_unread(session: Session) -> int:
    """Their time runs out although they paid. Stripe's invoices for other things are none of a
    subscription.
    """
    payers = select(BillingEvent.customer_id).where(
        BillingEvent.kind == EventKind.OTHER,
        or_(
            BillingEvent.type.in_(_INVOICES) & BillingEvent.subscription.is_not(None),
            BillingEvent.type == EventKind.PAID,
        ),
        BillingEvent.wrapped.is_not(None),
    )
    return count(session, Customer.customer_id.in_(payers))


def _count_unheard(session: Session) -> int:
    """A provider that can tell says of each either that it was paid, that it failed, or its end;
    of what somebody paid by hand it says nothing.
    """
    by_provider = BillingEvent.actor == BILLING
    paid = select(BillingEvent.id).where(
        by_provider,
        BillingEvent.kind == EventKind.PAID,
        BillingEvent.customer_id == Subscription.customer_id,
        BillingEvent.until == Subscription.paid_until,
    )
    last = select(func.max(BillingEvent.received_at)).where(by_provider).scalar_subquery()
    return count(
        session,
        Subscription.status.in_((Stage.PAST_DUE, Stage.READ_ONLY, Stage.SUSPENDED)),
        Subscription.past_due_since.is_(None),
        Subscription.cancelled_at.is_(None),
        Subscription.paid_until > last,
        paid.correlate(Subscription).exists(),
    )

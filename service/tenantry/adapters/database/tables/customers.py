"""Customers: who they are, how they log in, what they have booked."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from tenantry.adapters.database.base import Base, CustomerId, RowId, is_one_of
from tenantry.core.model import TokenPurpose
from tenantry.core.subscription import EventKind, Stage


class Customer(Base):
    """Who signed up. The only table that keeps personal data; the company's name is also in Git."""

    __tablename__ = "customers"

    customer_id: Mapped[str] = mapped_column(CustomerId, primary_key=True)
    email: Mapped[str] = mapped_column(doc="normalized form, shown and written to")
    email_key: Mapped[str] = mapped_column(
        unique=True, doc="casefold of `email`: one customer each"
    )
    company_name: Mapped[str]
    full_name: Mapped[str | None]
    time_zone: Mapped[str] = mapped_column(String(64))
    password_hash: Mapped[str] = mapped_column(doc="argon2id")
    status_token_hash: Mapped[str] = mapped_column(
        String(64), unique=True, doc="SHA-256 of the random part of the status page's link"
    )
    created_at: Mapped[datetime]
    email_confirmed_at: Mapped[datetime | None]
    email_refused_at: Mapped[datetime | None] = mapped_column(
        doc="when a server said for good that it takes no mail for this address"
    )
    approved_at: Mapped[datetime | None] = mapped_column(doc="by an operator, where that is asked")
    erased_at: Mapped[datetime | None] = mapped_column(doc="when what is personal was emptied")


class Subscription(Base):
    """What the customer has booked: what `billing_events` add up to, and how far it is followed."""

    __tablename__ = "subscriptions"
    __table_args__ = (is_one_of("status", Stage),)

    customer_id: Mapped[str] = mapped_column(
        CustomerId, ForeignKey("customers.customer_id"), primary_key=True
    )
    plan: Mapped[str] = mapped_column(String(64), doc="that runs, once main shows it")
    status: Mapped[str] = mapped_column(String(16), doc="core.subscription.Stage, as last looked")
    trial_ends_at: Mapped[datetime]
    created_at: Mapped[datetime]
    paid_since: Mapped[datetime | None] = mapped_column(doc="NULL: a trial")
    paid_at: Mapped[datetime | None] = mapped_column(doc="of the last payment")
    paid_until: Mapped[datetime | None] = mapped_column(doc="exclusive; NULL: until cancelled")
    past_due_since: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None] = mapped_column(doc="of what was cancelled; exclusive")
    asked_state: Mapped[str] = mapped_column(
        String(16), default="active", doc="core.model.State that was asked for last because of it"
    )
    look_at: Mapped[datetime | None] = mapped_column(
        index=True, doc="when something is due next; NULL: nothing by time alone"
    )
    looked_at: Mapped[datetime | None] = mapped_column(index=True, doc="when it was, last")
    billing_customer: Mapped[str | None] = mapped_column(
        String(255), index=True, doc="what the payment provider calls the customer"
    )


class BillingEvent(Base):
    """Something that was told of a subscription: by who is paid, an operator or the customer.

    What a subscription is, is the sum of its events in the order in which they happened, so it
    does not matter in which order they arrive. Kept also where it is not understood.
    """

    __tablename__ = "billing_events"
    __table_args__ = (is_one_of("kind", EventKind),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    external_id: Mapped[str] = mapped_column(String(255), unique=True, doc="as its source has it")
    customer_id: Mapped[str | None] = mapped_column(
        CustomerId, ForeignKey("customers.customer_id"), index=True, doc="NULL: not known yet"
    )
    billing_customer: Mapped[str | None] = mapped_column(
        String(255), index=True, doc="what the payment provider calls the customer"
    )
    subscription: Mapped[str | None] = mapped_column(
        String(255), index=True, doc="what the payment provider calls it, where it has several"
    )
    receipt: Mapped[str | None] = mapped_column(
        String(255), doc="what the customer is thanked for, once; NULL: for nothing"
    )
    kind: Mapped[str] = mapped_column(String(16), doc="core.subscription.EventKind")
    type: Mapped[str] = mapped_column(String(128), doc="what its source calls it")
    at: Mapped[datetime] = mapped_column(doc="when it happened, as its source says")
    received_at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(64))
    plan: Mapped[str | None] = mapped_column(String(64))
    until: Mapped[datetime | None] = mapped_column(doc="end of what was paid or cancelled")
    wrapped: Mapped[bytes | None] = mapped_column(doc="the message, where it was not understood")


class Login(Base):
    """A customer's session in a browser."""

    __tablename__ = "logins"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True, doc="SHA-256")
    customer_id: Mapped[str] = mapped_column(
        CustomerId, ForeignKey("customers.customer_id"), index=True
    )
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    agent: Mapped[str] = mapped_column(String(128), doc="the browser, in a few words")


class AccountToken(Base):
    """A link that a mail carries: it confirms an address or sets a password, once."""

    __tablename__ = "account_tokens"
    __table_args__ = (is_one_of("purpose", TokenPurpose),)

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True, doc="SHA-256")
    customer_id: Mapped[str] = mapped_column(
        CustomerId, ForeignKey("customers.customer_id"), index=True
    )
    purpose: Mapped[str] = mapped_column(String(16), doc="core.model.TokenPurpose")
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]

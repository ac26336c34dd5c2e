"""Requests that are limited or repeated; mail that is due; switches; the audit."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from tenantry.adapters.database.base import Base, CustomerId, RowId, Told, is_one_of
from tenantry.core.model import FlagName


class IdempotencyKey(Base):
    """A signup that a client may repeat for a day (R6), and what it was answered first."""

    __tablename__ = "idempotency_keys"

    key_hash: Mapped[str] = mapped_column(String(64), primary_key=True, doc="SHA-256")
    fingerprint: Mapped[str] = mapped_column(
        String(64), doc="of the body, by the vault's key: the body holds a password"
    )
    claim: Mapped[str] = mapped_column(String(64), doc="of the request that works on it")
    claimed_at: Mapped[datetime] = mapped_column(index=True)
    wrapped: Mapped[bytes | None] = mapped_column(
        doc="what was answered (e-mail, company, license, status link); NULL while it runs"
    )


class RateLimit(Base):
    """How much of a limit somebody has used (R8): one row each, by keyed hash and no name."""

    __tablename__ = "rate_limits"

    scope: Mapped[str] = mapped_column(String(32), primary_key=True)
    subject: Mapped[str] = mapped_column(String(64), primary_key=True, doc="keyed hash")
    full_at: Mapped[datetime] = mapped_column(
        index=True, doc="when all of the limit is free again: GCRA's theoretical arrival time"
    )


_CAN_BE_TRIED = text("sent_at IS NULL AND withheld_at IS NULL AND refused_at IS NULL")


class Outbox(Base):
    """A mail that is due: one row per customer, kind and period, so that each is sent once; or
    one that must never be, since who made the customer chose so.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("customer_id", "kind", "period"),
        Index(
            "ix_outbox_unsent",
            "retry_at",
            sqlite_where=_CAN_BE_TRIED,
            postgresql_where=_CAN_BE_TRIED,
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    customer_id: Mapped[str] = mapped_column(CustomerId, ForeignKey("customers.customer_id"))
    kind: Mapped[str] = mapped_column(String(32))
    period: Mapped[str] = mapped_column(String(32), default="")
    wrapped: Mapped[bytes | None] = mapped_column(
        doc="values that only the mail may carry, such as the status link; emptied when sent"
    )
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    withheld_at: Mapped[datetime | None] = mapped_column(doc="when it was chosen not to send it")
    refused_at: Mapped[datetime | None] = mapped_column(
        doc="when a server refused it for good; sent again once somebody says so"
    )
    retry_at: Mapped[datetime | None]
    claimed_until: Mapped[datetime | None] = mapped_column(doc="by whoever is sending it")
    attempts: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str | None] = mapped_column(Told)


class Flag(Base):
    """A switch that an operator has moved from where it usually is."""

    __tablename__ = "flags"
    __table_args__ = (is_one_of("name", FlagName),)

    name: Mapped[str] = mapped_column(String(32), primary_key=True, doc="core.model.FlagName")
    is_on: Mapped[bool]
    set_at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(64))
    note: Mapped[str] = mapped_column(Told, default="", doc="why, for other operators")


class Audit(Base):
    """Who did what, when. Append-only; ids only."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    customer_id: Mapped[str | None] = mapped_column(CustomerId, index=True)
    details: Mapped[dict[str, Any]]

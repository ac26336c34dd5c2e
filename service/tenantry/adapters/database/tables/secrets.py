"""Licenses and secret values; all that is wrapped stays so here."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from tenantry.adapters.database.base import Base, CustomerId, RowId, is_one_of
from tenantry.core.model import LicenseAction


class Secret(Base):
    """A value of the tenant's secret that was drawn for it, wrapped by the vault."""

    __tablename__ = "secrets"

    customer_id: Mapped[str] = mapped_column(
        CustomerId, ForeignKey("tenants.customer_id"), primary_key=True
    )
    key: Mapped[str] = mapped_column(String(253), primary_key=True)
    version: Mapped[int]
    wrapped: Mapped[bytes]


class SealedValue(Base):
    """The ciphertext of one value: kept, since sealing again gives other bytes and so a diff."""

    __tablename__ = "sealed_values"

    customer_id: Mapped[str] = mapped_column(
        CustomerId, ForeignKey("tenants.customer_id"), primary_key=True
    )
    key: Mapped[str] = mapped_column(String(253), primary_key=True)
    version: Mapped[str] = mapped_column(String(128), doc="as in TenantSpec.secret_versions")
    certificate: Mapped[str] = mapped_column(String(64), doc="SHA-256 of the sealing certificate")
    ciphertext: Mapped[str]


class LicenseRow(Base):
    """A license that was issued; the token is wrapped beside its hash."""

    __tablename__ = "licenses"

    license_id: Mapped[str] = mapped_column(String(64), primary_key=True, doc="`jti`")
    customer_id: Mapped[str] = mapped_column(
        CustomerId, ForeignKey("customers.customer_id"), index=True
    )
    plan: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    key_id: Mapped[str] = mapped_column(String(64))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    wrapped: Mapped[bytes]
    issued_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    grace_until: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    listed_at: Mapped[datetime | None] = mapped_column(
        doc="from when on the public list names it: later, where another license takes its place"
    )


class LicenseHistory(Base):
    """R11. Append-only."""

    __tablename__ = "license_history"
    __table_args__ = (is_one_of("action", LicenseAction),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    at: Mapped[datetime]
    customer_id: Mapped[str] = mapped_column(CustomerId, index=True)
    license_id: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(16))
    plan: Mapped[str] = mapped_column(String(64))
    max_devices: Mapped[int | None]
    license_hash: Mapped[str] = mapped_column(String(64))
    generated_by: Mapped[str] = mapped_column(String(64))
    details: Mapped[dict[str, Any]] = mapped_column("metadata")

"""Tenants: what is wanted and what is so, and the history of both."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, validates

from tenantry.adapters.database.base import Base, CustomerId, RowId, Told, is_one_of
from tenantry.core.errors import VolumesShrink
from tenantry.core.model import Status
from tenantry.core.volumes import shrunk

_IS_DUE = text("generation > published_generation AND set_aside IS NULL")
_IS_MOVING = text("ready_at IS NULL AND outcome IS NULL")


class Tenant(Base):
    """What is wanted and what is so: workers act on the difference, record, and may die anywhere.

    `generation` is raised with every change of `approved`; main shows it once
    `published_generation` has caught up. `accepted_tree` is the Git tree of the folder that stands
    accepted on main.
    """

    __tablename__ = "tenants"
    __table_args__ = (
        is_one_of("status", Status),
        CheckConstraint("published_generation <= generation", name="generation"),
        Index(
            "ix_tenants_due",
            "cell",
            "is_bulk",
            "customer_id",
            sqlite_where=_IS_DUE,
            postgresql_where=_IS_DUE,
        ),
        Index("ix_tenants_status", "status"),
    )

    customer_id: Mapped[str] = mapped_column(
        CustomerId, ForeignKey("customers.customer_id"), primary_key=True
    )
    name: Mapped[str] = mapped_column(String(32), unique=True)
    cell: Mapped[str] = mapped_column(String(64))
    instance_url: Mapped[str]
    approved: Mapped[dict[str, Any]] = mapped_column(doc="core.model.TenantSpec")
    generation: Mapped[int]
    published_generation: Mapped[int] = mapped_column(default=0)
    published_spec: Mapped[dict[str, Any] | None] = mapped_column(
        JSON(none_as_null=True), doc="core.model.TenantSpec that main shows"
    )
    published_commit: Mapped[str | None] = mapped_column(String(64))
    published_at: Mapped[datetime | None]
    accepted_tree: Mapped[str | None] = mapped_column(String(64))
    rendered_tree: Mapped[str | None] = mapped_column(
        String(64), doc="what we rendered where `accepted_tree` keeps a person's edit; else NULL"
    )
    edited_files: Mapped[dict[str, Any] | None] = mapped_column(
        JSON(none_as_null=True), doc="core.edits.Changes that led from there to `accepted_tree`"
    )
    is_edit_adopted: Mapped[bool] = mapped_column(
        default=False, doc="somebody said that the edit which is kept shall stay"
    )
    set_aside: Mapped[str | None] = mapped_column(Told, doc="why the publisher cannot publish it")
    replaces: Mapped[str | None] = mapped_column(
        String(64),
        doc="tree id (or `missing`) on main that an operator lets the next publication replace",
    )
    is_bulk: Mapped[bool] = mapped_column(
        default=False, doc="due with many others: gives way to what a customer waits for"
    )
    attempts: Mapped[int] = mapped_column(default=0, doc="failed in a row")
    retry_at: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(Told, doc="of this tenant alone")

    status: Mapped[str] = mapped_column(String(16))
    reason_code: Mapped[str] = mapped_column(String(64), default="", doc="core.reasons.REASONS")
    detail: Mapped[str] = mapped_column(Told, default="", doc="for the operator")
    resource: Mapped[str] = mapped_column(
        Told, default="", doc="object that stands in the way, such as Deployment/api"
    )
    status_since: Mapped[datetime]
    unknown_since: Mapped[datetime | None] = mapped_column(
        doc="Argo CD answers, but what it says of this tenant cannot be judged"
    )
    unsettled_since: Mapped[datetime | None] = mapped_column(
        doc="what is seen differs from the status, and has to last before it is told"
    )
    flaps: Mapped[int] = mapped_column(
        default=0, doc="times that a running tenant went bad, told or not"
    )
    application_uid: Mapped[str] = mapped_column(
        String(64), default="", doc="of the Application that was ready; another one has to be anew"
    )
    followed_generation: Mapped[int] = mapped_column(
        default=0, doc="published generation that the three below are about"
    )
    sync_attempts: Mapped[int] = mapped_column(default=0, doc="asked for by us, in a row")
    sync_asked_at: Mapped[datetime | None]
    support_told_at: Mapped[datetime | None]

    @validates("approved")
    def _never_shrinks(self, _: str, approved: dict[str, Any]) -> dict[str, Any]:
        """The one door to what is wanted, so no change can pass by it: VolumesShrink."""
        before = (self.approved or {}).get("volumes", {})
        if found := shrunk(before, approved.get("volumes", {})):
            raise VolumesShrink(
                f"{self.customer_id}: a volume cannot shrink: {', '.join(found)}",
                remedy="keep the size, as core.volumes.grow does",
            )
        return approved


class Publication(Base):
    """A tree that was, or was about to be, pushed for a tenant. Written before the push, so that
    after a crash what stands on main is recognized as ours; accepted when it was seen there.
    """

    __tablename__ = "publications"
    __table_args__ = (UniqueConstraint("customer_id", "generation", "tree"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    customer_id: Mapped[str] = mapped_column(CustomerId, ForeignKey("tenants.customer_id"))
    generation: Mapped[int]
    tree: Mapped[str] = mapped_column(String(64))
    rendered_tree: Mapped[str | None] = mapped_column(
        String(64), doc="what we rendered where `tree` keeps a person's edit; else NULL"
    )
    edited_files: Mapped[dict[str, Any] | None] = mapped_column(
        JSON(none_as_null=True), doc="core.edits.Changes that led from there to `tree`"
    )
    intended_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    commit: Mapped[str | None] = mapped_column(String(64))


class Deployment(Base):
    """One generation on its way from wanted to running: when each step was reached (R44)."""

    __tablename__ = "deployments"
    __table_args__ = (
        UniqueConstraint("customer_id", "generation"),
        CheckConstraint("outcome IN ('success', 'failed')", name="outcome"),
        Index("ix_deployments_wanted_at", "wanted_at"),
        Index(
            "ix_deployments_moving",
            "customer_id",
            sqlite_where=_IS_MOVING,
            postgresql_where=_IS_MOVING,
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    customer_id: Mapped[str] = mapped_column(CustomerId, ForeignKey("tenants.customer_id"))
    generation: Mapped[int]
    wanted_at: Mapped[datetime]
    committed_at: Mapped[datetime | None] = mapped_column(doc="on main, or a branch under review")
    published_at: Mapped[datetime | None] = mapped_column(doc="on main: pushed, or merged")
    seen_at: Mapped[datetime | None]
    synced_at: Mapped[datetime | None]
    healthy_at: Mapped[datetime | None]
    ready_at: Mapped[datetime | None]
    outcome: Mapped[str | None] = mapped_column(String(16))


class Event(Base):
    """What a tenant was reported as, from when on: the history behind `tenants.status`."""

    __tablename__ = "events"
    __table_args__ = (is_one_of("status", Status),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    at: Mapped[datetime]
    customer_id: Mapped[str] = mapped_column(
        CustomerId, ForeignKey("tenants.customer_id"), index=True
    )
    status: Mapped[str] = mapped_column(String(16))
    reason_code: Mapped[str] = mapped_column(String(64))
    detail: Mapped[str] = mapped_column(Told)

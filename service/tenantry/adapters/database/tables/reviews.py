"""Changes, and what people who review them see."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from tenantry.adapters.database.base import Base, CustomerId, RowId, Told, is_one_of
from tenantry.core.review import ChangeKind, Mode, Outcome

_IS_OPEN_CHANGE = text("outcome IS NULL")


class Change(Base):
    """A change to what a tenant is wanted to be: made at once, or waiting for a review."""

    __tablename__ = "changes"
    __table_args__ = (
        is_one_of("kind", ChangeKind),
        is_one_of("mode", Mode),
        is_one_of("outcome", Outcome),
        Index(
            "uq_changes_open",
            "customer_id",
            "kind",
            unique=True,
            sqlite_where=_IS_OPEN_CHANGE,
            postgresql_where=_IS_OPEN_CHANGE,
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    customer_id: Mapped[str] = mapped_column(
        CustomerId, ForeignKey("tenants.customer_id"), index=True
    )
    kind: Mapped[str] = mapped_column(String(16), doc="core.review.ChangeKind")
    fields: Mapped[dict[str, Any]] = mapped_column(doc="of core.model.TenantSpec, as wanted")
    before: Mapped[dict[str, Any]] = mapped_column(
        doc="the whole spec as it was when main was to show the change; empty while it waits, and "
        "if it never came"
    )
    actor: Mapped[str] = mapped_column(String(64))
    mode: Mapped[str] = mapped_column(String(16), doc="core.review.Mode")
    review_id: Mapped[int | None] = mapped_column(
        RowId, ForeignKey("reviews.id"), index=True, doc="the branch that it waits on"
    )
    created_at: Mapped[datetime]
    outcome: Mapped[str | None] = mapped_column(
        String(16), doc="core.review.Outcome; NULL while it waits"
    )
    decided_by: Mapped[str | None] = mapped_column(String(128))
    decided_at: Mapped[datetime | None]


_IS_OPEN_REVIEW = text("closed_at IS NULL")


class Review(Base):
    """A branch that waits for a person, and its pull request where there is a forge."""

    __tablename__ = "reviews"
    __table_args__ = (
        CheckConstraint("pushed_generation <= generation", name="generation"),
        Index(
            "uq_reviews_open",
            "cell",
            "branch",
            unique=True,
            sqlite_where=_IS_OPEN_REVIEW,
            postgresql_where=_IS_OPEN_REVIEW,
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    cell: Mapped[str] = mapped_column(String(64))
    branch: Mapped[str] = mapped_column(String(64), doc="tenantry/<customer-id>, or of signups")
    generation: Mapped[int] = mapped_column(doc="raised with what its tenants are wanted to be")
    pushed_generation: Mapped[int] = mapped_column(default=0)
    head: Mapped[str | None] = mapped_column(String(64), doc="of the branch, as last seen")
    number: Mapped[int | None] = mapped_column(doc="of the pull request")
    url: Mapped[str | None]
    told: Mapped[str | None] = mapped_column(
        String(64), doc="SHA-256 of title and text that the forge has"
    )
    created_at: Mapped[datetime]
    declined_at: Mapped[datetime | None] = mapped_column(doc="closed unmerged; may be reopened")
    closed_at: Mapped[datetime | None] = mapped_column(doc="nothing waits on it any longer")
    attempts: Mapped[int] = mapped_column(default=0, doc="failed in a row")
    retry_at: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(Told)


class Proposal(Base):
    """A tree that a tenant's folder has on a review's branch. By it a merge is known, however it
    was made: written before the push, and for each commit that a reviewer added.
    """

    __tablename__ = "proposals"
    __table_args__ = (UniqueConstraint("review_id", "customer_id", "tree"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    review_id: Mapped[int] = mapped_column(RowId, ForeignKey("reviews.id"))
    customer_id: Mapped[str] = mapped_column(
        CustomerId, ForeignKey("tenants.customer_id"), index=True
    )
    tree: Mapped[str] = mapped_column(String(64))
    rendered_tree: Mapped[str | None] = mapped_column(
        String(64), doc="what we rendered where `tree` holds a reviewer's edit; else NULL"
    )
    edited_files: Mapped[dict[str, Any] | None] = mapped_column(
        JSON(none_as_null=True), doc="core.edits.Changes that led from there to `tree`"
    )
    author: Mapped[str | None] = mapped_column(Told, doc="a reviewer; NULL: we made it")
    spec: Mapped[dict[str, Any]] = mapped_column(doc="core.model.TenantSpec that was rendered")
    changes: Mapped[list[int]] = mapped_column(JSON, doc="ids of the changes that are in it")
    at: Mapped[datetime]

"""The tables. Uniqueness and status values are constraints; order of statuses is `core.model`.

Personal data is in `customers` and, wrapped, in two columns that are emptied by themselves: of mail
that is not sent yet (`outbox`), and of signups that may be repeated for a day (`idempotency_keys`)
(R54).
`audit` and `license_history` are append-only by trigger and hold ids, no personal data.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, validates

from tenantry.adapters.database.base import Base, CustomerId, RowId, Told
from tenantry.core.errors import VolumesShrink
from tenantry.core.model import Status
from tenantry.core.review import ChangeKind, Mode, Outcome
from tenantry.core.volumes import shrunk


def _status_check(column: str) -> CheckConstraint:
    values = ", ".join(f"'{status.value}'" for status in Status)
    return CheckConstraint(f"{column} IN ({values})", name=column)


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


class Subscription(Base):
    """What the customer has booked; here a trial."""

    __tablename__ = "subscriptions"
    __table_args__ = (CheckConstraint("status IN ('trialing')", name="status"),)

    customer_id: Mapped[str] = mapped_column(
        CustomerId, ForeignKey("customers.customer_id"), primary_key=True
    )
    plan: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    trial_ends_at: Mapped[datetime]
    created_at: Mapped[datetime]


_IS_DUE = text("generation > published_generation AND set_aside IS NULL")


class Tenant(Base):
    """What is wanted and what is so: workers act on the difference, record, and may die anywhere.

    `generation` is raised with every change of `approved`; main shows it once
    `published_generation` has caught up. `accepted_tree` is the Git tree of the folder that stands
    accepted on main.
    """

    __tablename__ = "tenants"
    __table_args__ = (
        _status_check("status"),
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


def _is_one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    named = ", ".join(f"'{value.value}'" for value in values)
    return CheckConstraint(f"{column} IN ({named})", name=column)


_IS_OPEN_CHANGE = text("outcome IS NULL")


class Change(Base):
    """A change to what a tenant is wanted to be: made at once, or waiting for a review."""

    __tablename__ = "changes"
    __table_args__ = (
        _is_one_of("kind", ChangeKind),
        _is_one_of("mode", Mode),
        _is_one_of("outcome", Outcome),
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
    before: Mapped[dict[str, Any]] = mapped_column(doc="the same, as they were when it was made")
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


class Repository(Base):
    """How publishing to a cell's repository fares, for all workers that would knock there."""

    __tablename__ = "repositories"

    cell: Mapped[str] = mapped_column(String(64), primary_key=True)
    head: Mapped[str | None] = mapped_column(
        String(64), doc="main as last seen: what main is from then on descends from it"
    )
    halted: Mapped[str | None] = mapped_column(
        Told, doc="why nothing is published before an operator acts"
    )
    attempts: Mapped[int] = mapped_column(default=0, doc="failed in a row")
    retry_at: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(Told)
    hinted_at: Mapped[datetime | None] = mapped_column(
        doc="when a webhook last said that reviews moved: look now, and not at the next poll"
    )


class Watch(Base):
    """How following a cell's Argo CD fares: what is known of its tenants is as old as this says."""

    __tablename__ = "watches"

    cell: Mapped[str] = mapped_column(String(64), primary_key=True)
    seen_at: Mapped[datetime | None] = mapped_column(doc="when Argo CD last answered, roughly")
    failing_since: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(Told)
    hinted_at: Mapped[datetime | None] = mapped_column(
        doc="when a notification last said that something moved: list now"
    )


class Platform(Base):
    """A platform version that a cell's main got: from then on, its number stands for this tree."""

    __tablename__ = "platforms"

    cell: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[str] = mapped_column(String(64), primary_key=True)
    tree: Mapped[str] = mapped_column(String(64), doc="Git tree of platform/<version>/")
    commit: Mapped[str] = mapped_column(String(64), doc="that it was found in first")
    published_at: Mapped[datetime]
    removed_at: Mapped[datetime | None] = mapped_column(doc="it may come back, as the same tree")


class LeaseRow(Base):
    """Who does a thing that one process at a time should do; by the database's clock."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    holder: Mapped[str] = mapped_column(String(64))
    until: Mapped[float] = mapped_column(doc="seconds since 1970")


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


class LicenseHistory(Base):
    """R11. Append-only."""

    __tablename__ = "license_history"
    __table_args__ = (
        CheckConstraint("action IN ('generated', 'renewed', 'upgraded', 'revoked')", name="action"),
    )

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


class Audit(Base):
    """Who did what, when. Append-only; ids only."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    customer_id: Mapped[str | None] = mapped_column(CustomerId, index=True)
    details: Mapped[dict[str, Any]]


class Event(Base):
    """What a tenant was reported as, from when on: the history behind `tenants.status`."""

    __tablename__ = "events"
    __table_args__ = (_status_check("status"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    at: Mapped[datetime]
    customer_id: Mapped[str] = mapped_column(
        CustomerId, ForeignKey("tenants.customer_id"), index=True
    )
    status: Mapped[str] = mapped_column(String(16))
    reason_code: Mapped[str] = mapped_column(String(64))
    detail: Mapped[str] = mapped_column(Told)


class Deployment(Base):
    """One generation on its way from wanted to running: when each step was reached (R44)."""

    __tablename__ = "deployments"
    __table_args__ = (
        UniqueConstraint("customer_id", "generation"),
        CheckConstraint("outcome IN ('success', 'failed')", name="outcome"),
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


_IS_UNSENT = text("sent_at IS NULL AND withheld_at IS NULL")


class Outbox(Base):
    """A mail that is due: one row per customer, kind and period, so that each is sent once; or
    one that must never be, since who made the customer chose so.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("customer_id", "kind", "period"),
        Index("ix_outbox_unsent", "retry_at", sqlite_where=_IS_UNSENT, postgresql_where=_IS_UNSENT),
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
    retry_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str | None] = mapped_column(Told)

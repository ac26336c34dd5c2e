"""Cells: how their repositories and Argo CD fare."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from tenantry.adapters.database.base import Base, Told


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

"""The tenants that are followed, as their rows were read."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, select

from tenantry.adapters.database.tables import Deployment, Tenant
from tenantry.core import naming
from tenantry.core.model import Status, TenantSpec
from tenantry.core.readiness import TARGETS
from tenantry.core.standing import Standing
from tenantry.flows.service import Cell, Service

READ_TOGETHER = 500  # rows; bounds memory, of which a whole row takes more than what is kept of it


@dataclass(frozen=True)
class Watched:
    """A tenant that main shows, by what it shows and not by what is wanted next. `on_the_way`: a
    published generation has not been reached yet.
    """

    spec: TenantSpec
    url: str
    accepted_tree: str
    commit: str
    published_at: datetime
    generation: int  # published
    standing: Standing
    on_the_way: bool
    status_since: datetime

    @property
    def due_since(self) -> datetime:
        """Since when it should be as published: it was published, or it went bad."""
        went_bad = self.standing.status is Status.DEGRADED
        return max(self.published_at, self.status_since) if went_bad else self.published_at

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def folder(self) -> str:
        return naming.folder(self.spec.name)

    @property
    def platform_folder(self) -> str:
        return naming.platform_folder(self.spec.platform)

    @property
    def rests(self) -> bool:
        """Whether it is as wanted, and called so."""
        standing = self.standing
        return (
            not self.on_the_way
            and standing.status == TARGETS.get(self.spec.state)
            and standing.unsettled_since is None
            and standing.unknown_since is None
        )


_MOVING = select(Deployment.customer_id).where(
    Deployment.published_at.is_not(None),
    Deployment.ready_at.is_(None),
    Deployment.outcome.is_(None),
)


def read_watched(
    service: Service, cell: Cell, names: Collection[str] | None = None
) -> list[Watched]:
    """All of the cell, or those of them that are named."""
    shown = select(Tenant).where(*_shown(cell))
    if names is not None:
        shown = shown.where(Tenant.name.in_(names))
    with service.database.read() as session:
        moving = set(session.scalars(_MOVING))
        rows = session.scalars(shown).yield_per(READ_TOGETHER)
        return [_watched(row, row.customer_id in moving) for row in rows]


def read_moving(service: Service, cell: Cell) -> dict[str, int]:
    """The published generation, by name, of each tenant that is on its way."""
    moving = select(Tenant.name, Tenant.published_generation).where(
        *_shown(cell), Tenant.customer_id.in_(_MOVING)
    )
    with service.database.read() as session:
        return {row.name: row.published_generation for row in session.execute(moving)}


def _shown(cell: Cell) -> tuple[ColumnElement[bool], ...]:
    return (
        Tenant.cell == cell.name,
        Tenant.published_generation > 0,
        Tenant.status != Status.DELETED,
    )


def standing_of(row: Tenant) -> Standing:
    """What the row remembers between two looks."""
    return Standing(
        status=Status(row.status),
        generation=row.followed_generation,
        uid=row.application_uid,
        unknown_since=row.unknown_since,
        unsettled_since=row.unsettled_since,
        flaps=row.flaps,
        attempts=row.sync_attempts,
        asked_at=row.sync_asked_at,
        support_told=row.support_told_at is not None,
    )


def _watched(row: Tenant, on_the_way: bool) -> Watched:
    assert row.accepted_tree is not None  # noqa: S101 - these come with a published generation
    assert row.published_spec is not None  # noqa: S101
    assert row.published_commit is not None  # noqa: S101
    assert row.published_at is not None  # noqa: S101
    return Watched(
        spec=TenantSpec.model_validate(row.published_spec),
        url=row.instance_url,
        accepted_tree=row.accepted_tree,
        commit=row.published_commit,
        published_at=row.published_at,
        generation=row.published_generation,
        standing=standing_of(row),
        on_the_way=on_the_way,
        status_since=row.status_since,
    )

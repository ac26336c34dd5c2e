"""Sealing again what was sealed with another certificate than the cell's current one, and the
credentials for images where these are others now.

The values stay what they are, only their ciphertext is made anew: by the publisher, when it next
publishes the tenant. So resealing is marking.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from sqlalchemy import delete
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import SealedValue, Tenant
from tenantry.flows.fleet import bulk
from tenantry.flows.fleet.bulk import ACTOR, Marked, Selection
from tenantry.flows.generation import is_behind, raise_generation
from tenantry.flows.publishing.sealer import Sealer
from tenantry.flows.service import Cell, Service


def mark_for_resealing(
    service: Service, cell: Cell, selection: Selection, *, everything: bool = False
) -> Iterator[Marked]:
    """Mark tenants that hold ciphertext of another certificate or of other credentials, page by
    page; with `everything` each of them, and its ciphertext is forgotten. SettingsError where the
    cell's certificate or credentials cannot be used: then nothing was marked.
    """
    sealer = Sealer.of(service, cell)
    for page in bulk.pages(service, cell, selection):
        change = partial(_mark_all, service) if everything else partial(_mark, service, sealer)
        yield Marked(len(page), bulk.mark(service, page, change), last=page[-1])


def _mark_all(service: Service, session: Session, tenants: Sequence[Tenant]) -> Sequence[Tenant]:
    ids = [each.customer_id for each in tenants]
    session.execute(delete(SealedValue).where(SealedValue.customer_id.in_(ids)))
    return _raise(service, session, tenants)


def _mark(
    service: Service, sealer: Sealer, session: Session, tenants: Sequence[Tenant]
) -> Sequence[Tenant]:
    outdated = sealer.read_outdated(session, [each.customer_id for each in tenants])
    left = [each for each in tenants if each.customer_id in outdated and not _is_marked(each)]
    return _raise(service, session, left)


def _is_marked(tenant: Tenant) -> bool:
    """Whether an earlier run marked it, and it is on its way."""
    return is_behind(tenant) and tenant.is_bulk


def _raise(service: Service, session: Session, tenants: Sequence[Tenant]) -> Sequence[Tenant]:
    now = service.now()
    for tenant in tenants:
        raise_generation(
            session, tenant, action="tenant.reseal", actor=ACTOR, now=now, is_bulk=True
        )
    return tenants

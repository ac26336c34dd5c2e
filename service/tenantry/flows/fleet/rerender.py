"""Rendering again what templates or product would now render to other bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import SealedValue, Tenant
from tenantry.core import naming
from tenantry.core.errors import OverlayRefused, ProductError
from tenantry.core.model import TenantSpec
from tenantry.core.overlay import LOCAL
from tenantry.core.product import Product
from tenantry.core.pull_secret import KEY as PULL_KEY
from tenantry.core.secret import Source
from tenantry.flows.fleet import bulk
from tenantry.flows.fleet.bulk import ACTOR, Marked, Selection
from tenantry.flows.generation import is_behind, raise_generation
from tenantry.flows.publishing.rendering import render_files
from tenantry.flows.service import Cell, Service

UNSEALED = "unsealed"  # in place of a tree: what publishing seals is part of it


@dataclass(frozen=True)
class Current:
    """A tenant that is not behind, as its row was read."""

    customer_id: str
    generation: int
    tree: str  # that we made of it last
    wanted: Mapping[str, object]  # core.model.TenantSpec
    ciphertext: Mapping[str, str]


def mark_for_rendering(
    service: Service, cell: Cell, selection: Selection, *, everything: bool = False
) -> Iterator[Marked]:
    """Mark tenants whose overlay would be other bytes than those that stand accepted, page by page;
    with `everything` each of them: what renders the same makes no commit.

    A tenant that cannot be rendered is among the failed. Raises RepositoryError where main cannot
    be read: then nothing was marked.
    """
    head = cell.repository.fetch()
    for page in bulk.pages(service, cell, selection):
        failed: dict[str, str] = {}
        chosen: dict[str, int] | None = None
        if not everything:
            with service.database.read() as session:
                current = read_current(service, session, page)
            trees = rendered_trees(service, cell, head, current, failed)
            chosen = {
                each.customer_id: each.generation
                for each in current
                if trees.get(each.customer_id, each.tree) != each.tree
            }
        yield Marked(len(page), _mark(service, page, chosen), failed, last=page[-1])


def read_current(service: Service, session: Session, customer_ids: Sequence[str]) -> list[Current]:
    """Those of the customers' tenants that are not behind, with the ciphertext that they have."""
    rows = select(Tenant).where(Tenant.customer_id.in_(customer_ids))
    tenants = session.scalars(rows.order_by(Tenant.customer_id)).all()
    tenants = [each for each in tenants if not is_behind(each)]
    sealed: dict[str, dict[str, str]] = {each.customer_id: {} for each in tenants}
    complete = service.product.secret.complete
    versions = {
        each.customer_id: complete(each.approved.get("secret_versions", {})) for each in tenants
    }
    for row in session.scalars(select(SealedValue).where(SealedValue.customer_id.in_(sealed))):
        if row.key == PULL_KEY or versions[row.customer_id].get(row.key) == row.version:
            sealed[row.customer_id][row.key] = row.ciphertext
    return [
        Current(
            each.customer_id,
            each.generation,
            each.rendered_tree or each.accepted_tree or "",
            each.approved,
            sealed[each.customer_id],
        )
        for each in tenants
    ]


def rendered_trees(
    service: Service,
    cell: Cell,
    head: str | None,
    current: Sequence[Current],
    failed: dict[str, str],
) -> dict[str, str]:
    """By customer: the tree that its row renders to now, with the `local/` that main has; UNSEALED
    where the product asks for something sealed that it did not ask for before. Where it cannot be
    rendered, the reason is put into `failed`.
    """
    local = _read_local(cell, head, [each.customer_id for each in current])
    trees = {}
    for each in current:
        try:
            spec = TenantSpec.model_validate(each.wanted)
            if lacking := spec.secret_versions.keys() - each.ciphertext.keys():
                raise OverlayRefused([f"nothing is sealed for {', '.join(sorted(lacking))}"])
            if _sealed_for_all(service.product) - each.ciphertext.keys():
                trees[each.customer_id] = UNSEALED
                continue
            shall = render_files(
                service, cell, spec, each.ciphertext, local=local[each.customer_id]
            )
            trees[each.customer_id] = shall.tree
        except (OverlayRefused, ProductError) as error:
            failed[each.customer_id] = str(error)
        except ValidationError:
            failed[each.customer_id] = "what is wanted of it is not readable"
    return trees


def _sealed_for_all(product: Product) -> set[str]:
    """The keys that every tenant has a value for, though its row may not say so."""
    lists = product.secret.keys_from(Source.REVOCATIONS)
    return {*lists, *([PULL_KEY] if product.pull_secret else [])}


def _read_local(cell: Cell, head: str | None, customer_ids: Sequence[str]) -> dict[str, str | None]:
    places = {each: f"{naming.folder_of(each)}/{LOCAL}" for each in customer_ids}
    found = cell.repository.trees_at(head, places.values())
    return {each: found[path] for each, path in places.items()}


def _mark(
    service: Service, page: Sequence[str], chosen: Mapping[str, int] | None
) -> dict[str, int]:
    """Raise the chosen (customer id -> generation that was rendered) as far as they still stand
    there; None: all of the page.
    """

    def change(session: Session, tenants: Sequence[Tenant]) -> list[Tenant]:
        now = service.now()
        stand = [
            each
            for each in tenants
            if chosen is None or each.generation == chosen[each.customer_id]
        ]
        for each in stand:
            raise_generation(
                session, each, action="tenant.rerender", actor=ACTOR, now=now, is_bulk=True
            )
        return stand

    return bulk.mark(service, page if chosen is None else chosen, change)

"""What rows and main say of tenants, read for an audit: a page at a time, a few processes for all.

Rows are read after the head, so what they say may be newer: a finding holds only if it is found
again, see `flows.auditing.audit`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import select

from tenantry.adapters.database.tables import Tenant
from tenantry.core import naming
from tenantry.core.finding import Facts
from tenantry.flows.auditing.edits import read_edit
from tenantry.flows.fleet.rerender import read_current, rendered_trees
from tenantry.flows.publishing import adopted, ledger
from tenantry.flows.publishing.sealer import Sealer
from tenantry.flows.service import Cell, Service


def read_facts(
    service: Service,
    cell: Cell,
    head: str | None,
    customer_ids: Sequence[str],
    *,
    sealer: Sealer,
    full: bool,
) -> list[Facts]:
    """What is known of these customers' tenants; with `full` also what their rows render to."""
    places = cell.repository.trees_at(head, map(naming.folder_of, customer_ids))
    rendered: dict[str, str] = {}
    faults: dict[str, str] = {}
    with service.database.read() as session:
        rows = select(Tenant).where(Tenant.customer_id.in_(customer_ids))
        tenants = session.scalars(rows.order_by(Tenant.customer_id)).all()
        pushed = ledger.intended(session, customer_ids)
        outdated = sealer.read_outdated(session, customer_ids)
        other = [each for each in tenants if _stands_otherwise(each, places)]
        older = ledger.accepted_once(session, [each.customer_id for each in other])
        current = read_current(service, session, customer_ids) if full else []
    if full:
        rendered = rendered_trees(service, cell, head, current, faults)
    local_only = _same_but_local(cell, other, places)
    reverted = [each for each in tenants if _is_back(each, places, older)]
    lost = _published_in_lost_history(cell, head, reverted)
    edits = {
        each.customer_id: read_edit(cell, each, places[naming.folder_of(each.customer_id)], pushed)
        for each in tenants
        if each.rendered_tree or (each in other and each.customer_id not in local_only)
    }
    return [
        Facts(
            customer_id=each.customer_id,
            folder=(folder := naming.folder_of(each.customer_id)),
            generation=each.generation,
            published_generation=each.published_generation,
            accepted_tree=each.accepted_tree,
            standing=places[folder],
            set_aside=each.set_aside,
            replaces=each.replaces,
            pushed=frozenset(push.tree for push in pushed.get(each.customer_id, ())),
            is_older=(each.customer_id, places[folder]) in older,
            is_lost=each.customer_id in lost,
            is_same_but_local=each.customer_id in local_only,
            is_outdated=each.customer_id in outdated,
            rendered=rendered.get(each.customer_id),
            fault=faults.get(each.customer_id),
            rendered_tree=each.rendered_tree,
            is_edit_adopted=each.is_edit_adopted,
            edited=edits.get(each.customer_id, {}),
        )
        for each in tenants
    ]


def _stands_otherwise(tenant: Tenant, places: Mapping[str, str | None]) -> bool:
    return places[naming.folder_of(tenant.customer_id)] not in (None, tenant.accepted_tree)


def _is_back(
    tenant: Tenant, places: Mapping[str, str | None], older: Collection[tuple[str, str]]
) -> bool:
    """Whether main shows a published tenant as it was earlier, or not at all."""
    tree = places[naming.folder_of(tenant.customer_id)]
    is_missing = tree is None and tenant.accepted_tree is not None
    return is_missing or (tenant.customer_id, tree) in older


def _published_in_lost_history(cell: Cell, head: str | None, tenants: Sequence[Tenant]) -> set[str]:
    """Customers whose tenant was published by a commit that main's history no longer has."""
    commits = {each.customer_id: str(each.published_commit) for each in tenants}
    lost = cell.repository.commits_outside(head, set(commits.values())) if commits else set()
    return {customer_id for customer_id, commit in commits.items() if commit in lost}


def _same_but_local(
    cell: Cell, tenants: Sequence[Tenant], places: Mapping[str, str | None]
) -> set[str]:
    """Customers whose folder differs from what is accepted in nothing but `local/`."""
    pairs = {
        each.customer_id: (str(places[naming.folder_of(each.customer_id)]), each.accepted_tree)
        for each in tenants
        if each.accepted_tree
    }
    found = adopted.find(cell, pairs.values())
    return {customer_id for customer_id, pair in pairs.items() if pair in found}

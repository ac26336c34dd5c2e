"""What people changed in a tenant's folder, for those who decide whether it stays."""

from __future__ import annotations

from collections.abc import Mapping

from tenantry.adapters.database.tables import Tenant
from tenantry.core.edits import Changes, Edit, describe
from tenantry.core.errors import HandEdited, RepositoryError
from tenantry.core.plain_secret import holds_plain_secret
from tenantry.core.sources import MOST_PER_FILE
from tenantry.flows.publishing import edited, ledger
from tenantry.flows.publishing.ledger import Push
from tenantry.flows.service import Cell

MOST_LINES = 40  # of the difference of one file
Pushed = Mapping[str, set[Push]]  # by customer, what was not accepted yet


def find_edit(cell: Cell, tenant: Tenant, standing: str, pushed: Pushed) -> Edit | None:
    """What people made of what we wrote; None: nothing. HandEdited where that cannot be told."""
    ours = {push.tree: push.edit for push in pushed.get(tenant.customer_id, ())}
    if tenant.accepted_tree:
        ours[tenant.accepted_tree] = ledger.edit_of(tenant)
    return ours[standing] if standing in ours else edited.find_edit(cell, ours, standing)


def read_edit(
    cell: Cell, tenant: Tenant, standing: str | None, pushed: Pushed
) -> Mapping[str, str]:
    """By file, how what stands differs from what we wrote; nothing where that cannot be told."""
    try:
        edit = find_edit(cell, tenant, standing, pushed) if standing else None
    except HandEdited:
        edit = None
    if edit is None:
        return {}
    try:
        return _differences(cell, edit.files)
    except RepositoryError:
        return dict.fromkeys(edit.files, "main's history has no longer what it was")


def _differences(cell: Cell, files: Changes[str]) -> Mapping[str, str]:
    blobs = {blob for pair in files.values() for blob in pair if blob}
    sizes = cell.repository.sizes(blobs)
    small = [blob for blob in blobs if sizes[blob] < MOST_PER_FILE]
    contents = dict(cell.repository.blobs(small))
    return {
        name: _difference(name, *(contents.get(blob or "", b"") for blob in pair))
        for name, pair in files.items()
    }


def _difference(name: str, before: bytes, after: bytes) -> str:
    if holds_plain_secret(name, before) or holds_plain_secret(name, after):
        return "holds a Secret that is not sealed, so it is not shown"
    return describe(name, before, after, most_lines=MOST_LINES)

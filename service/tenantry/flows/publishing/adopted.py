"""What reviewers add to a tenant's folder in `local/` is adopted: the rest of it is still ours."""

from __future__ import annotations

from collections.abc import Collection

from tenantry.adapters.git import NOT_A_TREE
from tenantry.core.overlay import LOCAL
from tenantry.flows.service import Cell


def find(cell: Cell, pairs: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the pairs (tree that stands, tree that is ours) that differ in nothing but `local/`.
    A tree of ours may never have been pushed, and so be unknown here.
    """
    ours = {(tree, "") for _, tree in pairs}
    known = {tree for tree, there in cell.repository.trees(ours).items() if there}
    return {
        (standing, tree)
        for standing, tree in pairs
        if standing != NOT_A_TREE
        and (tree, "") in known
        and cell.repository.same_but(standing, tree, LOCAL)
    }

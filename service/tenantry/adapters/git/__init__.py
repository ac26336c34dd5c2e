"""Git: the tenants repository, how its remote is let in, and what pushes come to."""

from __future__ import annotations

from tenantry.adapters.git.access import Access, transport
from tenantry.adapters.git.clone import BUILD_REF, create_bare
from tenantry.adapters.git.commits import Change, Commit
from tenantry.adapters.git.objects import NOT_A_TREE, Entry
from tenantry.adapters.git.program import ENVIRONMENT, TRANSPORTS
from tenantry.adapters.git.remote import KNOWN_HOSTS_REMEDY, NO_COMMIT, Before, Moved, remote_head
from tenantry.adapters.git.repository import TenantsRepository

__all__ = [
    "BUILD_REF",
    "ENVIRONMENT",
    "KNOWN_HOSTS_REMEDY",
    "NOT_A_TREE",
    "NO_COMMIT",
    "TRANSPORTS",
    "Access",
    "Before",
    "Change",
    "Commit",
    "Entry",
    "Moved",
    "TenantsRepository",
    "create_bare",
    "remote_head",
    "transport",
]

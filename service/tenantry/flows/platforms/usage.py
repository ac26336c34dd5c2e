"""Who runs which platform version: by the rows of tenants, and by what main shows of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from sqlalchemy import func, select

from tenantry.adapters.database.tables import Tenant
from tenantry.core.errors import RepositoryError
from tenantry.core.record import RECORD
from tenantry.flows.service import Cell, Service

Usage = Mapping[str, Mapping[str, int]]  # version -> plan -> tenants


def count_tenants(service: Service, cell: Cell) -> Usage:
    """The cell's tenants by what is wanted of them, also where main does not show it yet."""
    version, plan = (Tenant.approved[key].as_string() for key in ("platform", "plan"))
    rows = select(version, plan, func.count()).where(Tenant.cell == cell.name)
    found: dict[str, dict[str, int]] = {}
    with service.database.read() as session:
        for name, sold, tenants in session.execute(rows.group_by(version, plan)):
            found.setdefault(name, {})[sold] = tenants
    return found


def read_shown(cell: Cell, head: str | None) -> set[str]:
    """The versions that any tenant on main names. RepositoryError where one cannot be read: then
    nobody knows what it runs.
    """
    if head is None:
        return set()
    entries = cell.repository.entries(head, "tenants")
    records = {each.id: each.path for each in entries if each.path.endswith(f"/{RECORD}")}
    return {_version(content, records[blob]) for blob, content in cell.repository.blobs(records)}


def _version(record: bytes, path: str) -> str:
    try:
        return str(json.loads(record)["platform"])
    except (ValueError, TypeError, KeyError):
        raise RepositoryError(
            f"{path} does not say which platform version its tenant runs",
            remedy="`tenantry repo audit` says whose it is and how it is mended",
        ) from None


def folders(cell: Cell, head: str | None) -> Iterator[str]:
    """The names that main has below platform/, once each."""
    entries = cell.repository.entries(head, "platform") if head else ()
    names = (each.path.split("/")[1] for each in entries if each.path.count("/") > 1)
    yield from dict.fromkeys(names)

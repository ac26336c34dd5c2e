"""What stands on main without a push of ours: a generation of its own, and what is left to do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Tenant
from tenantry.core.model import TenantSpec
from tenantry.flows.audit_rows import audited
from tenantry.flows.generation import raise_generation

REVIEWER = "review"  # who decided, where Git and forge do not say


def raise_for(session: Session, tenant: Tenant, action: str, now: datetime) -> None:
    """A generation for what stands on main already; a signup's first has begun with it."""
    if tenant.generation == 0:
        tenant.generation = 1
        row = audited(action, tenant.customer_id, actor=REVIEWER, now=now, generation=1)
        session.add(row)
    else:
        raise_generation(session, tenant, action=action, actor=REVIEWER, now=now)


def follow_up(
    session: Session, tenant: Tenant, shown: Mapping[str, Any] | None, now: datetime
) -> None:
    """Have main catch up where more is approved than it shows, such as a plan's license, and where
    it is not all of our making (None).
    """
    wanted = TenantSpec.model_validate(tenant.approved)
    if shown is None or wanted != TenantSpec.model_validate(shown):
        raise_generation(session, tenant, action="tenant.follow_up", actor=REVIEWER, now=now)

"""The rows that say who did what, and when."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tenantry.adapters.database.tables import Audit


def audited(
    action: str, customer_id: str | None = None, *, actor: str, now: datetime, **details: Any
) -> Audit:
    """That `actor` did this: to that customer, or (None) to nobody's in particular. Nothing of the
    `details` is personal: the audit outlives the customer.
    """
    return Audit(at=now, actor=actor, action=action, customer_id=customer_id, details=details)

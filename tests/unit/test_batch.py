"""How long a refused batch is halved."""

from __future__ import annotations

from tenantry.flows.publishing import batch


def test_refusals_in_a_row_are_bounded_by_what_one_tenant_can_cause() -> None:
    for tenants in (2, 3, 7, 20, 200, 5000):
        alone, size = 1, tenants
        while size > 1:
            size, alone = (size + 1) // 2, alone + 1
        assert batch._most_refusals(tenants) >= alone

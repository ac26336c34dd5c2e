"""What is broken at the moment. Nothing here acts on it; see `breaks`."""

from __future__ import annotations

import threading

from tenantry.devcluster.cases import CASES
from tenantry.devcluster.faults import Fault
from tenantry.devcluster.kinds import Key

Break = tuple[str, str | None]  # case, and the tenant or None for every one


class Broken:
    """Safe for several threads. Tenants are named as their Applications are."""

    def __init__(self) -> None:
        self._now: frozenset[Break] = frozenset()
        self.well = False  # whether what flaps is well at this moment
        self._changed = threading.Condition()

    def all(self) -> list[Break]:
        """Everything that is broken."""
        return sorted(self._now, key=lambda one: (one[0], one[1] or ""))

    def add(self, case: str, tenant: str | None) -> None:
        """Have it broken."""
        with self._changed:
            self._now |= {(case, tenant)}

    def discard(self, case: str, tenant: str | None) -> None:
        """Have it whole."""
        with self._changed:
            self._now -= {(case, tenant)}
            self._changed.notify_all()

    def has(self, case: str, tenant: str | None = None) -> bool:
        """Whether the case is on: for all, or for this tenant."""
        return not self._now.isdisjoint({(case, None), (case, tenant)})

    def wait_while(self, case: str, seconds: float) -> None:
        """Return when the case is off, after `seconds` at the latest."""
        with self._changed:
            self._changed.wait_for(lambda: not self.has(case), seconds)

    def faults(self, tenant: str) -> list[Fault]:
        """What fails of a tenant at this moment."""
        if not self._now:  # asked of every object at every comparison
            return []
        found = [
            case.fault for case in CASES.values() if case.fault and self.has(case.name, tenant)
        ]
        return [one for one in found if not (one.flaps and self.well)]

    def faults_of(self, tenant: str, key: Key) -> list[Fault]:
        """What fails of one object of a tenant."""
        return [one for one in self.faults(tenant) if one.kind == key.kind]

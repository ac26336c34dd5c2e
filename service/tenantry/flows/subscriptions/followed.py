"""A tenant beside its subscription, as both stand at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tenantry.adapters.database.tables import LicenseRow, Subscription, Tenant
from tenantry.core.model import State
from tenantry.core.subscription import Booking, Moment, Position


@dataclass(frozen=True)
class Followed:
    """How it is `now`; `issued` is the license that was issued last."""

    tenant: Tenant
    subscription: Subscription
    booking: Booking
    stands: Position
    issued: LicenseRow
    now: datetime

    @property
    def moment(self) -> Moment:
        """The last of the subscription's moments that has come."""
        return self.stands.moment

    @property
    def wanted(self) -> State:
        """What the subscription says that the tenant should be."""
        return self.stands.moment.state

"""The tables. Uniqueness and status values are constraints; order of statuses is `core.model`.

Personal data is in `customers`; in `sessions`, which end; and, wrapped, in three columns: of mail
that is not sent yet (`outbox`) and of signups that may be repeated for a day (`idempotency_keys`),
which are emptied by themselves, and of billing events that were not understood (R54).
`audit` and `license_history` are append-only by trigger and hold ids, no personal data.
"""

from tenantry.adapters.database.tables.cells import LeaseRow, Platform, Repository, Watch
from tenantry.adapters.database.tables.customers import (
    AccountToken,
    BillingEvent,
    Customer,
    Login,
    Subscription,
)
from tenantry.adapters.database.tables.requests import (
    Audit,
    Flag,
    IdempotencyKey,
    Outbox,
    RateLimit,
)
from tenantry.adapters.database.tables.reviews import Change, Proposal, Review
from tenantry.adapters.database.tables.secrets import (
    LicenseHistory,
    LicenseRow,
    SealedValue,
    Secret,
)
from tenantry.adapters.database.tables.tenants import Deployment, Event, Publication, Tenant

__all__ = [
    "AccountToken",
    "Audit",
    "BillingEvent",
    "Change",
    "Customer",
    "Deployment",
    "Event",
    "Flag",
    "IdempotencyKey",
    "LeaseRow",
    "LicenseHistory",
    "LicenseRow",
    "Login",
    "Outbox",
    "Platform",
    "Proposal",
    "Publication",
    "RateLimit",
    "Repository",
    "Review",
    "SealedValue",
    "Secret",
    "Subscription",
    "Tenant",
    "Watch",
]

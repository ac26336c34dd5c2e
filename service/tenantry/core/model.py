"""The words of the domain: what a tenant is wanted to be, and what may follow what.

The table `MOVES` is the one place that says which status may follow which; the database enforces
the values, `may_move` the order.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class State(StrEnum):
    """What a tenant is wanted to do; each is a Kustomize component of the platform."""

    ACTIVE = "active"
    READ_ONLY = "read-only"
    SUSPENDED = "suspended"
    DELETING = "deleting"


class Status(StrEnum):
    """What runs, as customer and operator are told (R41)."""

    PENDING = "pending"
    AWAITING_REVIEW = "awaiting_review"
    PROVISIONING = "provisioning"
    READY = "ready"
    DEGRADED = "degraded"
    FAILED = "failed"
    READ_ONLY = "read_only"
    SUSPENDED = "suspended"
    DELETING = "deleting"
    DELETED = "deleted"


_RUNNING = {Status.READY, Status.DEGRADED, Status.READ_ONLY, Status.SUSPENDED, Status.DELETING}

MOVES: dict[Status, frozenset[Status]] = {
    # signed up ─▶ in Git ─▶ answering
    Status.PENDING: frozenset({Status.AWAITING_REVIEW, Status.PROVISIONING, Status.DELETING}),
    Status.AWAITING_REVIEW: frozenset({Status.PROVISIONING, Status.DELETING}),
    Status.PROVISIONING: frozenset({Status.FAILED} | _RUNNING),
    # a failed first deployment may still heal, or is tried again
    Status.FAILED: frozenset({Status.PROVISIONING} | _RUNNING),
    # a running tenant goes between the running statuses in any order
    Status.READY: frozenset(_RUNNING - {Status.READY}),
    Status.DEGRADED: frozenset(_RUNNING - {Status.DEGRADED}),
    Status.READ_ONLY: frozenset(_RUNNING - {Status.READ_ONLY}),
    Status.SUSPENDED: frozenset(_RUNNING - {Status.SUSPENDED}),
    # removal ends
    Status.DELETING: frozenset({Status.DELETED}),
    Status.DELETED: frozenset(),
}


# Where a tenant stays until somebody or something changes it; elsewhere it is on its way.
SETTLED = frozenset(
    {
        Status.READY,
        Status.DEGRADED,
        Status.FAILED,
        Status.READ_ONLY,
        Status.SUSPENDED,
        Status.DELETED,
    }
)


def may_move(old: Status, new: Status) -> bool:
    """Whether a tenant in `old` may be reported as `new` next; staying is always allowed."""
    return old == new or new in MOVES[old]


class LicenseAction(StrEnum):
    """Why a license was issued, or what became of it (R11)."""

    GENERATED = "generated"
    RENEWED = "renewed"
    UPGRADED = "upgraded"
    DOWNGRADED = "downgraded"
    REISSUED = "reissued"  # with another signing key
    REVOKED = "revoked"


class TokenPurpose(StrEnum):
    """What a link in a mail is for."""

    CONFIRM = "confirm"
    RESET = "reset"


class FlagName(StrEnum):
    """Switches for operators."""

    SIGNUPS_OPEN = "signups_open"
    PUBLISH_PAUSED = "publish_paused"
    READ_ONLY_SERVICE = "read_only_service"


class TenantSpec(BaseModel):
    """What main must show of one tenant: everything that its overlay is rendered from, but the
    ciphertext. Equal specs and ciphertexts render equal bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="customer-<key>: namespace, Application, folder")
    customer_id: str = Field(description="cust-<key>: host label")
    company: str = Field(description="as typed at signup; shown in Argo CD, part of no name")
    environment: str = Field(description="value of the namespace's `environment` label")
    created_at: datetime = Field(description="UTC; the namespace's `created-at` annotation")
    host: str = Field(description="host name of the instance, without scheme and port")
    plan: str
    state: State
    platform: str = Field(description="platform version, a folder under platform/")
    license_id: str = Field(description="`jti` of the license within the sealed secret")
    secret_versions: dict[str, str] = Field(
        description="key of the product's secret -> version of its value (any short text)"
    )
    volumes: dict[str, str] = Field(description="claim name -> size, such as 5Gi")

"""What a review is about, in a few words; none of them is a customer's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

from tenantry.core.review import ChangeKind
from tenantry.core.review_entry import Entry


def title(entries: Sequence[Entry]) -> str:
    """What the review is about, in a few words, none of them a customer's."""
    if len(entries) == 1:
        return f"{entries[0].customer_id}: {what(entries[0])}"
    if all(entry.is_new for entry in entries):
        return f"{len(entries)} signups"
    return f"{len(entries)} tenants"


def what(entry: Entry) -> str:
    """What changes of a tenant."""
    said = {
        ChangeKind.SIGNUP: f"new tenant on plan {entry.plan.new}",
        ChangeKind.LICENSE: "another license",
        ChangeKind.STATE: f"state {entry.state}",
        ChangeKind.PLAN: f"plan {entry.plan}",
        ChangeKind.PLATFORM: f"platform {entry.platform}",
        ChangeKind.DELETE: "deletion with all its data",
    }
    return ", ".join(said[kind] for kind in entry.kinds) or "edited by a reviewer"


def license_terms(entry: Entry) -> str:
    """Limits and end of a license."""
    limits = [f"{name} {step}" for name, step in entry.limits.items()]
    if entry.expires_at is None:
        return "; ".join([*limits, "not issued yet"])
    return "; ".join([*limits, f"until {entry.expires_at.astimezone(UTC):%Y-%m-%d}"])

"""What a new customer is answered (R4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from tenantry.adapters.database.tables import Customer, Subscription, Tenant
from tenantry.core.product import Product
from tenantry.flows.licensing.issuing import Issued


@dataclass(frozen=True)
class SignedUp:
    """What the new customer is answered (R4). License and status token are theirs alone.

    Kept for a day where the request has a key (see `repeats`): a new member needs a default.
    """

    customer_id: str
    email: str
    company_name: str
    plan: str
    subscription_status: str
    trial_ends_at: datetime
    instance_url: str
    estimated_time: str
    license_token: str = field(repr=False)
    license_expires_at: datetime
    max_devices: int | None
    next_steps: tuple[str, ...]
    status_token: str = field(repr=False)
    waits_for: tuple[str, ...] = ()  # before the instance is set up: `accounts.waiting`
    is_replay: bool = False  # the answer that an earlier request with the same key had


def answer(
    product: Product,
    customer: Customer,
    subscription: Subscription,
    tenant: Tenant,
    issued: Issued,
    *,
    status_token: str,
    estimated_time: str,
    waits_for: tuple[str, ...],
) -> SignedUp:
    """The answer from the customer's new rows and from what no row shows."""
    return SignedUp(
        customer_id=customer.customer_id,
        email=customer.email,
        company_name=customer.company_name,
        plan=subscription.plan,
        subscription_status=subscription.status,
        trial_ends_at=subscription.trial_ends_at,
        instance_url=tenant.instance_url,
        estimated_time=estimated_time,
        license_token=issued.token,
        license_expires_at=issued.expires_at,
        max_devices=issued.max_devices,
        next_steps=product.next_steps,
        status_token=status_token,
        waits_for=waits_for,
    )

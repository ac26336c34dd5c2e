"""What a new account may have to wait for (R8): that its address is confirmed, that an operator
approves it. Until then the tenant has generation 0, and no change of it waits for a review.
"""

from __future__ import annotations

from sqlalchemy import and_

from tenantry.adapters.database.tables import Customer, Tenant
from tenantry.core.review import ChangeKind, Mode
from tenantry.flows.service import Service

CONFIRMATION = "awaiting_confirmation"  # these are reason codes
APPROVAL = "awaiting_approval"
REVIEW = "awaiting_review"
_ALL = (CONFIRMATION, APPROVAL)

# `is_waiting`, of rows
IS_WAITING = and_(Tenant.generation == 0, Tenant.reason_code.in_(_ALL))


def asked_of_all(service: Service) -> tuple[str, ...]:
    """All that a new account has to wait for, in this order."""
    asked = {CONFIRMATION: service.confirm_email, APPROVAL: service.approve_signups}
    return tuple(code for code, is_asked in asked.items() if is_asked)


def stands_before(service: Service) -> tuple[str, ...]:
    """All that comes before a new customer's instance, in this order: what its account has to wait
    for and, where signups wait for one, the review.
    """
    is_reviewed = service.new_tenants_cell.policy.mode(ChangeKind.SIGNUP) == Mode.REVIEW
    return (*asked_of_all(service), *((REVIEW,) if is_reviewed else ()))


def waits_for(service: Service, customer: Customer) -> str | None:
    """What a customer's instance has to wait for; None: for nothing."""
    came = {CONFIRMATION: customer.email_confirmed_at, APPROVAL: customer.approved_at}
    return next((code for code in asked_of_all(service) if came[code] is None), None)


def is_waiting(tenant: Tenant) -> bool:
    """Whether nothing of the tenant begins until what it waits for is there."""
    return tenant.generation == 0 and tenant.reason_code in _ALL

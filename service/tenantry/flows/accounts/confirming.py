"""A customer confirms that its address is its own, by a link that a mail carries."""

from __future__ import annotations

from datetime import datetime

from tenantry.adapters.database.tables import Customer
from tenantry.core.errors import TooManyAttempts
from tenantry.core.model import TokenPurpose
from tenantry.flows import limiting
from tenantry.flows.accounts import links
from tenantry.flows.accounts.releasing import note_confirmed
from tenantry.flows.rows import locked_customer
from tenantry.flows.service import Service

_PURPOSE = TokenPurpose.CONFIRM


def ask_again(service: Service, customer_id: str, *, network: str, now: datetime) -> None:
    """Send the link once more, where the address is not confirmed; TooManyAttempts where that was
    asked too often.
    """
    who = {"email": customer_id, "network": network}
    measured = limiting.login_measures(service.login_limits, of="confirm_", **who)
    with service.database.write() as session:
        limiting.count_attempt(service, session, measured, now=now, refusal=TooManyAttempts)
        _, customer = locked_customer(session, customer_id)
        if customer.email_confirmed_at is None:
            links.send_link(service, session, customer_id, _PURPOSE, now=now)


def has_confirmed(service: Service, token: str, *, now: datetime) -> bool:
    """Whether what the link confirms is confirmed already; NotFound where it confirms nothing: it
    is too old, void, or never was.
    """
    with service.database.read() as session:
        customer_id = links.owner(session, token, _PURPOSE, now=now, even_used=True)
        is_confirmed = session.get_one(Customer, customer_id).email_confirmed_at is not None
        if not is_confirmed:
            links.owner(session, token, _PURPOSE, now=now)
        return is_confirmed


def confirm(service: Service, token: str, *, now: datetime) -> None:
    """Take the address as confirmed, and set the instance up if it waited for that only; nothing
    where it is confirmed already, such as by a first click of two. NotFound as `has_confirmed`.
    """
    with service.database.write() as session:
        customer_id = links.owner(session, token, _PURPOSE, now=now, even_used=True)
        tenant, customer = locked_customer(session, customer_id)
        if customer.email_confirmed_at is None:
            links.use(session, token, _PURPOSE, now=now)
            note_confirmed(service, session, tenant, customer, now=now)

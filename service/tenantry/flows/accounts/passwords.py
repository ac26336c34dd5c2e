"""A customer who knows the password no more sets another, by a link that a mail carries.

Nobody is told whether an address is known: what is asked for is answered and counted alike.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlalchemy import select

from tenantry.adapters.database.tables import Customer
from tenantry.adapters.passwords import hash_password
from tenantry.core.errors import NotFound, TooManyAttempts
from tenantry.core.model import TokenPurpose
from tenantry.core.signup import new_password, typed_email_key
from tenantry.flows import limiting
from tenantry.flows.accounts import links
from tenantry.flows.accounts.entry import WrongLogin, log_in
from tenantry.flows.accounts.logins import end_all_logins, start_login
from tenantry.flows.accounts.releasing import note_confirmed
from tenantry.flows.accounts.status_link import renew_status_link
from tenantry.flows.audit_rows import audited
from tenantry.flows.rows import locked_customer
from tenantry.flows.service import Service

log = structlog.get_logger()
_PURPOSE = TokenPurpose.RESET
SET_ANEW = "customer.password_set"  # in the audit


def ask_reset(service: Service, email: object, *, network: str, now: datetime) -> None:
    """Send a link to the customer with this address, if there is one; TooManyAttempts where that
    was asked too often. The mail is a row, so this takes no longer for a customer.
    """
    email_key = typed_email_key(email)
    who = {"email": email_key, "network": network}
    measured = limiting.login_measures(service.login_limits, of="reset_", **who)
    with service.database.write() as session:
        limiting.count_attempt(service, session, measured, now=now, refusal=TooManyAttempts)
        known = select(Customer.customer_id).where(Customer.email_key == email_key)
        customer_id = session.scalar(known)
        if customer_id is not None:
            locked_customer(session, customer_id)
            links.send_link(service, session, customer_id, _PURPOSE, now=now)


def address_of(service: Service, token: str, *, now: datetime) -> str:
    """The e-mail that the link was sent to; NotFound where it sets no password: it was used, is
    too old, or never was.
    """
    with service.database.read() as session:
        customer_id = links.owner(session, token, _PURPOSE, now=now)
        return session.get_one(Customer, customer_id).email


def enter_anew(
    service: Service, token: str, typed: object, *, network: str, agent: str, now: datetime
) -> str:
    """Set the password as `set_password`. Sent twice, as by a double click, it is a login with the
    password that was set: NotFound with another, and TooManyAttempts.
    """
    try:
        return set_password(service, token, typed, agent=agent, now=now)
    except NotFound:
        with service.database.read() as session:
            used_by = links.owner(session, token, _PURPOSE, now=now, even_used=True)
            email = session.get_one(Customer, used_by).email
    try:
        return log_in(service, email, typed, network=network, agent=agent, now=now)
    except WrongLogin:
        raise NotFound from None


def set_password(service: Service, token: str, typed: object, *, agent: str, now: datetime) -> str:
    """Set the password by the rules of a signup, end all sessions and void all links for this, and
    take the address as confirmed, since the link was sent there: the first time, the status page
    gets another link. The token of a new session: who
    has the link need not log in, which others may have used up. InvalidInput leaves the link good;
    NotFound as `address_of`.
    """
    with service.database.read() as session:
        customer = session.get_one(Customer, links.owner(session, token, _PURPOSE, now=now))
    password = new_password(
        typed, customer.email, customer.company_name, rules=service.password_rules
    )
    password_hash = hash_password(password.reveal())
    customer_id = customer.customer_id
    with service.database.write() as session:
        tenant, customer = locked_customer(session, customer_id)
        links.use(session, token, _PURPOSE, now=now)
        links.void(session, customer_id, _PURPOSE)
        customer.password_hash = password_hash
        end_all_logins(session, customer_id)
        session.add(audited(SET_ANEW, customer_id, actor=customer_id, now=now))
        if customer.email_confirmed_at is None:  # somebody else may have signed up, and has it
            renew_status_link(service, session, customer)
        note_confirmed(service, session, tenant, customer, now=now)
        started = start_login(session, customer_id, agent=agent, now=now)
    log.info(SET_ANEW, customer_id=customer_id)
    return started

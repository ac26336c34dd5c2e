"""A customer logs in. A wrong address and a wrong password are told in the same words, after the
same time, and count alike.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlalchemy import select

from tenantry.adapters.database.tables import Customer
from tenantry.adapters.passwords import hash_password, is_outdated, verify_password
from tenantry.core.errors import InvalidInput, TooManyAttempts
from tenantry.core.signup import typed_email_key, typed_password
from tenantry.flows import limiting
from tenantry.flows.accounts.logins import LoggedIn, end_login, start_login
from tenantry.flows.service import Service

log = structlog.get_logger()


class WrongLogin(InvalidInput):
    """The email or the password is wrong."""

    code = "wrong_login"

    def __init__(self) -> None:
        super().__init__("The email or the password is wrong")


def log_in(
    service: Service,
    email: object,
    password: object,
    *,
    network: str,
    agent: str,
    now: datetime,
    replaces: LoggedIn | None = None,
) -> str:
    """The token of a new session, by what was typed; the browser's session before it ends.

    WrongLogin, or TooManyAttempts. One that succeeds counts, too: else a thief's own account would
    make guessing free.
    """
    email_key, typed = typed_email_key(email), typed_password(password)
    _count(service, email_key, network, now)
    with service.database.read() as session:
        row = session.execute(
            select(Customer.customer_id, Customer.password_hash).where(
                Customer.email_key == email_key
            )
        ).one_or_none()
    stored = row.password_hash if row else None
    if not verify_password(stored, typed.reveal()) or row is None or stored is None:
        raise WrongLogin
    better = hash_password(typed.reveal()) if is_outdated(stored) else stored
    with service.database.write() as session:
        customer = session.get_one(Customer, row.customer_id, with_for_update=True)
        if customer.password_hash != stored:  # another was set just now
            raise WrongLogin
        customer.password_hash = better
        token = start_login(session, row.customer_id, agent=agent, now=now)
    if replaces:
        end_login(service, replaces.customer_id, replaces.token_hash)
    log.info("customer.logged_in", customer_id=row.customer_id)
    return token


def _count(service: Service, email_key: str, network: str, now: datetime) -> None:
    who = {"email": email_key, "network": network}
    measured = list(limiting.login_measures(service.login_limits, of="login_", **who))
    if measured:
        with service.database.write() as session:
            limiting.count_attempt(service, session, measured, now=now, refusal=TooManyAttempts)

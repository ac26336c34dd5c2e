"""The link of a customer's status page: who has it sees the page without a login."""

from __future__ import annotations

import secrets

from sqlalchemy import update
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Customer, Outbox
from tenantry.adapters.vault import token_digest
from tenantry.core.mail import MailKind
from tenantry.flows.outbox import IS_UNSENT
from tenantry.flows.service import Service


def new_status_token() -> str:
    """What the link of a status page ends with: as good as a password for what it shows."""
    return secrets.token_urlsafe(24)


def renew_status_link(service: Service, session: Session, customer: Customer) -> None:
    """The old one opens nothing any more. A customer who was welcomed before finds its status in
    the account.
    """
    token = new_status_token()
    customer.status_token_hash = token_digest(token)
    welcome = update(Outbox).where(
        Outbox.customer_id == customer.customer_id,
        Outbox.kind == MailKind.WELCOME,
        *IS_UNSENT,
    )
    carries = welcome.values(wrapped=service.vault.wrap(token))
    session.execute(carries.execution_options(synchronize_session=False))

"""Links that mails carry: random, stored as a hash, good once and for a short while.

Looking at one never uses it up: mail scanners open every link. A new link that confirms makes
those before it void. One that sets a password does not, since anybody may ask for it: using one
does.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import AccountToken
from tenantry.adapters.vault import token_digest
from tenantry.core.errors import NotFound
from tenantry.core.mail import MailKind
from tenantry.core.model import TokenPurpose
from tenantry.flows import outbox
from tenantry.flows.service import Service

LASTS = {TokenPurpose.CONFIRM: timedelta(hours=24), TokenPurpose.RESET: timedelta(hours=1)}
_TOKEN_BYTES = 32
_PERIOD_LENGTH = 32


def send_link(
    service: Service, session: Session, customer_id: str, purpose: TokenPurpose, *, now: datetime
) -> None:
    """Make the mail due that carries a new link, in place of one that was not sent yet. In the
    caller's transaction, with the tenant's row locked.
    """
    kind = MailKind(purpose.value)
    token = issue(session, customer_id, purpose, now=now)
    outbox.drop_unsent(session, customer_id, {kind}, now=now)
    outbox.put(
        session,
        customer_id=customer_id,
        kind=kind,
        period=token_digest(token)[:_PERIOD_LENGTH],
        wrapped=service.vault.wrap(token),
        now=now,
    )


def issue(session: Session, customer_id: str, purpose: TokenPurpose, *, now: datetime) -> str:
    """A new link's token. In the caller's transaction, with the tenant's row locked."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    if purpose == TokenPurpose.CONFIRM:
        void(session, customer_id, purpose)
    session.add(
        AccountToken(
            token_hash=token_digest(token),
            customer_id=customer_id,
            purpose=purpose,
            created_at=now,
            expires_at=now + LASTS[purpose],
        )
    )
    return token


def owner(
    session: Session, token: str, purpose: TokenPurpose, *, now: datetime, even_used: bool = False
) -> str:
    """Whose link it is, still to be used; NotFound where it was, is too old, void or never was."""
    is_it = _is_young(token, purpose, now) if even_used else _is_good(token, purpose, now)
    customer_id = session.scalar(select(AccountToken.customer_id).where(is_it))
    if customer_id is None:
        raise NotFound
    return customer_id


def use(session: Session, token: str, purpose: TokenPurpose, *, now: datetime) -> None:
    """Use the link up, in the caller's transaction; NotFound as `owner`. One of two wins."""
    this = update(AccountToken).where(_is_good(token, purpose, now)).values(used_at=now)
    used = this.returning(AccountToken.customer_id)
    if session.scalar(used.execution_options(synchronize_session=False)) is None:
        raise NotFound


def void(session: Session, customer_id: str, purpose: TokenPurpose) -> None:
    """Let the customer's links for the purpose open nothing; what was used stays on record."""
    unused = delete(AccountToken).where(
        AccountToken.customer_id == customer_id,
        AccountToken.purpose == purpose,
        AccountToken.used_at.is_(None),
    )
    session.execute(unused)


def forget_all(session: Session, customer_id: str) -> None:
    """Delete all of the customer's links; a used one, too, would let in by the password that was
    set with it.
    """
    session.execute(delete(AccountToken).where(AccountToken.customer_id == customer_id))


def forget(session: Session, *, now: datetime, at_most: int) -> int:
    """Delete some links that are too old; how many."""
    old = (
        select(AccountToken.token_hash)
        .where(AccountToken.expires_at <= now)
        .limit(at_most)
        .with_for_update(skip_locked=True)
    )
    forgotten = delete(AccountToken).where(AccountToken.token_hash.in_(old))
    return len(session.scalars(forgotten.returning(AccountToken.token_hash)).all())


def _is_good(token: str, purpose: TokenPurpose, now: datetime) -> ColumnElement[bool]:
    return and_(_is_young(token, purpose, now), AccountToken.used_at.is_(None))


def _is_young(token: str, purpose: TokenPurpose, now: datetime) -> ColumnElement[bool]:
    return and_(
        AccountToken.token_hash == token_digest(token),
        AccountToken.purpose == purpose,
        AccountToken.expires_at > now,
    )

"""Sessions of customers in their browsers: a random token each, of which only the hash is stored.

A session ends two weeks after the login, after three days without use, or when it is told to. Each
is looked up for every request, so one that was ended is dead at once.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, or_, select, update
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Login
from tenantry.adapters.vault import token_digest
from tenantry.core.errors import DatabaseUnavailable, ReadOnlyService
from tenantry.flows.flags import require_writing
from tenantry.flows.service import Service

LASTS = timedelta(days=14)
UNUSED_LASTS = timedelta(days=3)
NOTED_EVERY = timedelta(minutes=1)  # that a session is in use
_TOKEN_BYTES = 32
_AGENT_LENGTH = 128


@dataclass(frozen=True)
class LoggedIn:
    """Whose session a request has."""

    customer_id: str
    token_hash: str = field(repr=False)


def start_login(session: Session, customer_id: str, *, agent: str, now: datetime) -> str:
    """A new session; its token, which is told to the browser and kept nowhere."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    session.add(
        Login(
            token_hash=token_digest(token),
            customer_id=customer_id,
            created_at=now,
            seen_at=now,
            expires_at=now + LASTS,
            agent=agent[:_AGENT_LENGTH],
        )
    )
    return token


def find_login(service: Service, token: str, *, now: datetime) -> LoggedIn | None:
    """Whose session the token is, noting that it is in use; None where it is none, or over."""
    token_hash = token_digest(token)
    this = Login.token_hash == token_hash
    with service.database.read() as session:
        login = session.scalar(select(Login).where(this, _lives(now)))
    if login is None:
        return None
    if now - login.seen_at >= NOTED_EVERY:
        with suppress(DatabaseUnavailable, ReadOnlyService):  # noted later, if it still is in use
            _note_use(service, this, now)
    return LoggedIn(login.customer_id, token_hash)


def _note_use(service: Service, this: ColumnElement[bool], now: datetime) -> None:
    require_writing(service)
    with service.database.write() as session:
        session.execute(update(Login).where(this).values(seen_at=now))


def list_logins(service: Service, customer_id: str, *, now: datetime) -> Sequence[Login]:
    """The customer's sessions that are not over, the one used last first."""
    mine = select(Login).where(Login.customer_id == customer_id, _lives(now))
    with service.database.read() as session:
        return session.scalars(mine.order_by(Login.seen_at.desc(), Login.token_hash)).all()


def end_login(service: Service, customer_id: str, token_hash: str) -> None:
    """End one of the customer's sessions, if it is theirs."""
    this = and_(Login.customer_id == customer_id, Login.token_hash == token_hash)
    with service.database.write() as session:
        session.execute(delete(Login).where(this))


def end_other_logins(service: Service, login: LoggedIn) -> None:
    """End all of the customer's sessions but this."""
    others = and_(Login.customer_id == login.customer_id, Login.token_hash != login.token_hash)
    with service.database.write() as session:
        session.execute(delete(Login).where(others))


def end_all_logins(session: Session, customer_id: str) -> None:
    """End all of the customer's sessions, in the caller's transaction."""
    session.execute(delete(Login).where(Login.customer_id == customer_id))


def forget(session: Session, *, now: datetime, at_most: int) -> int:
    """Delete some sessions that are over; how many."""
    over = (
        select(Login.token_hash)
        .where(or_(Login.expires_at <= now, Login.seen_at <= now - UNUSED_LASTS))
        .limit(at_most)
        .with_for_update(skip_locked=True)
    )
    gone = delete(Login).where(Login.token_hash.in_(over)).returning(Login.token_hash)
    return len(session.scalars(gone).all())


def _lives(now: datetime) -> ColumnElement[bool]:
    return and_(Login.expires_at > now, Login.seen_at > now - UNUSED_LASTS)

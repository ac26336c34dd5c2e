"""Requests that a client may repeat (R6): a key, who works on it, and what it was answered.

A key is claimed before the work and answered in the transaction that does it. A claim without
answer is of a request that still runs or of a process that died: it may be taken over after a
while, and who lost it so must not store anything (`hold`). Answers hold the license and the link
to the status page, so they are wrapped, and gone after a day (`flows.housekeeping`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.orm import Session

from tenantry.adapters.database.session import insert_new
from tenantry.adapters.database.tables import IdempotencyKey
from tenantry.core.errors import DatabaseUnavailable, KeyReused, RequestRunning
from tenantry.core.signup import SignupRequest
from tenantry.flows.service import Service
from tenantry.flows.signups.answer import SignedUp

KEPT_FOR = timedelta(hours=24)
TAKEN_OVER_AFTER = timedelta(seconds=60)
PURPOSE = "idempotency fingerprint"

_ANSWER = TypeAdapter(SignedUp)


@dataclass(frozen=True)
class Claim:
    """One request's hold on a key."""

    key_hash: str
    holder: str


def take(
    service: Service, session: Session, key: str, request: SignupRequest, *, now: datetime
) -> Claim | SignedUp:
    """The claim on a free key, or what it was answered before.

    KeyReused where it came with another request, RequestRunning where it is being worked on.
    """
    claim = Claim(hashlib.sha256(key.encode()).hexdigest(), secrets.token_hex(16))
    meaning = canonical(request)
    values = {
        "fingerprint": service.vault.digest(PURPOSE, meaning),
        "claim": claim.holder,
        "claimed_at": now,
        "wrapped": None,
    }
    insert_new(session, IdempotencyKey, [{"key_hash": claim.key_hash, **values}])
    this = IdempotencyKey.key_hash == claim.key_hash
    row = session.scalar(select(IdempotencyKey).where(this).with_for_update())
    if row is None:  # given back just now
        raise RequestRunning(retry_after=1)
    if row.claim == claim.holder:
        return claim
    if _age(row, now) < KEPT_FOR:
        if not service.vault.recognizes(PURPOSE, meaning, row.fingerprint):
            raise KeyReused
        if row.wrapped is not None:
            return _restore(service, row.wrapped)
        if _age(row, now) < TAKEN_OVER_AFTER:
            raise RequestRunning(retry_after=1)
    session.execute(update(IdempotencyKey).where(this).values(values))
    return claim


def canonical(request: SignupRequest) -> str:
    """What the request means, however it was written: as JSON or form, in whatever order."""
    fields = request.model_dump(exclude={"password"})
    return json.dumps({**fields, "password": request.password.reveal()}, sort_keys=True)


def hold(session: Session, claim: Claim) -> None:
    """Keep the claim until the transaction's end; RequestRunning where another has taken it over.
    First of all in the transaction, so that nothing is stored under a claim that was lost.
    """
    mine = select(IdempotencyKey.key_hash).where(_is(claim)).with_for_update()
    if session.scalar(mine) is None:
        raise RequestRunning(retry_after=1)


def keep_answer(service: Service, session: Session, claim: Claim, signed_up: SignedUp) -> None:
    """Store what the same request is answered from now on."""
    wrapped = service.vault.wrap(_ANSWER.dump_json(signed_up).decode())
    session.execute(update(IdempotencyKey).where(_is(claim)).values(wrapped=wrapped))


def release(service: Service, claim: Claim) -> None:
    """Give the key back, unless it was answered. Where the database is away it is taken over."""
    with contextlib.suppress(DatabaseUnavailable), service.database.write() as session:
        give_back(session, claim)


def give_back(session: Session, claim: Claim) -> None:
    """As `release`, within a transaction."""
    session.execute(delete(IdempotencyKey).where(_is(claim), IdempotencyKey.wrapped.is_(None)))


def forget(session: Session, *, now: datetime, at_most: int) -> int:
    """Delete some keys that have had their day; how many."""
    old = (
        select(IdempotencyKey.key_hash)
        .where(IdempotencyKey.claimed_at < now - KEPT_FOR)
        .limit(at_most)
        .with_for_update(skip_locked=True)
    )
    forgotten = delete(IdempotencyKey).where(IdempotencyKey.key_hash.in_(old))
    return len(session.scalars(forgotten.returning(IdempotencyKey.key_hash)).all())


def forget_customer(
    service: Service, session: Session, customer_id: str, signed_up_at: datetime
) -> None:
    """Delete the key under which the customer signed up, if it is still kept: its answer tells who
    that is.
    """
    around = IdempotencyKey.claimed_at.between(
        signed_up_at - TAKEN_OVER_AFTER, signed_up_at + TAKEN_OVER_AFTER
    )
    for row in session.scalars(select(IdempotencyKey).where(around)).all():
        if row.wrapped and _restore(service, row.wrapped).customer_id == customer_id:
            session.delete(row)


def _is(claim: Claim) -> ColumnElement[bool]:
    return and_(IdempotencyKey.key_hash == claim.key_hash, IdempotencyKey.claim == claim.holder)


def _age(row: IdempotencyKey, now: datetime) -> timedelta:
    """How long ago it was claimed; a clock that was set back makes nobody wait for it."""
    return abs(now - row.claimed_at)


def _restore(service: Service, wrapped: bytes) -> SignedUp:
    signed_up = _ANSWER.validate_json(service.vault.unwrap(wrapped))
    return replace(signed_up, is_replay=True)

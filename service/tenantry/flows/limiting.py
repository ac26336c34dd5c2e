"""Counts signups, logins and the like against limits by e-mail, address and in all (R8).

Rows name nobody: a subject is a digest keyed by the vault, and goes (`flows.housekeeping`) once all
of its limit is free again. A rotation of the vault's keys starts every count anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import delete, select, tuple_
from sqlalchemy.orm import Session

from tenantry.adapters.database.session import insert_new, upsert
from tenantry.adapters.database.tables import RateLimit
from tenantry.core.errors import RateLimited
from tenantry.core.limits import Limit, Limits, judge
from tenantry.flows.service import Service

Subject = tuple[str, str]  # scope and digest
_ANYWHERE = 10  # times what one network may


@dataclass(frozen=True)
class Measure:
    """Who is counted, and what of: each scope counts for itself."""

    scope: str
    who: str
    limit: Limit


def measures(limits: Limits, *, of: str = "", **who: str) -> Iterator[Measure]:
    """Of the limits those that are set, for whom each counts: `email`, `address`, `total`. `of`
    tells counts apart that have the same limits.
    """
    for name, value in who.items():
        limit: Limit | None = getattr(limits, name)
        if limit:
            yield Measure(of + name, value, limit)


def login_measures(limits: Limits, *, of: str, email: str, network: str) -> Iterator[Measure]:
    """How logins, and mails that somebody asks for, are limited. By e-mail strictly from one
    network only: from anywhere, strangers could keep the owner out; so that is less strict.
    """
    if limits.email:
        lax = replace(limits.email, count=limits.email.count * _ANYWHERE)
        yield Measure(of + "email_network", f"{email} {network}", limits.email)
        yield Measure(of + "email", email, lax)
    yield from measures(limits, of=of, address=network)


def count_attempt(
    service: Service,
    session: Session,
    measured: Iterable[Measure],
    *,
    now: datetime,
    refusal: type[RateLimited] = RateLimited,
) -> None:
    """Count one attempt with every limit, or with none: `refusal`, with the seconds to wait, where
    one of them does not admit it.
    """
    limited = _subjects(service, measured)
    if not limited:
        return
    stored = _lock(session, sorted(limited), now)
    verdicts = {each: judge(limit, stored.get(each), now) for each, limit in limited.items()}
    wait = max(verdict.wait for verdict in verdicts.values())
    if wait:
        raise refusal(retry_after=wait.total_seconds())
    rows = [
        {"scope": scope, "subject": subject, "full_at": verdicts[scope, subject].full_at}
        for scope, subject in sorted(verdicts)
    ]
    upsert(session, RateLimit, rows)


def forget(session: Session, *, now: datetime, at_most: int) -> int:
    """Delete some rows that say nothing any more; how many."""
    keys = tuple_(RateLimit.scope, RateLimit.subject)
    old = (
        select(RateLimit.scope, RateLimit.subject)
        .where(RateLimit.full_at < now)
        .limit(at_most)
        .with_for_update(skip_locked=True)
    )
    forgotten = delete(RateLimit).where(keys.in_(old)).returning(RateLimit.scope)
    return len(session.scalars(forgotten).all())


def _subjects(service: Service, measured: Iterable[Measure]) -> Mapping[Subject, Limit]:
    return {
        (each.scope, service.vault.digest(f"limit by {each.scope}", each.who)): each.limit
        for each in measured
    }


def _lock(session: Session, subjects: list[Subject], now: datetime) -> dict[Subject, datetime]:
    """What is stored, ours until the transaction ends. What is not there yet is made first:
    PostgreSQL cannot lock a row that does not exist. Always in one order, so nobody waits in a
    circle.
    """
    rows = [{"scope": scope, "subject": subject, "full_at": now} for scope, subject in subjects]
    insert_new(session, RateLimit, rows)
    keys = tuple_(RateLimit.scope, RateLimit.subject)
    found = session.execute(
        select(RateLimit.scope, RateLimit.subject, RateLimit.full_at)
        .where(keys.in_(subjects))
        .order_by(RateLimit.scope, RateLimit.subject)
        .with_for_update()
    )
    return {(row.scope, row.subject): row.full_at for row in found}

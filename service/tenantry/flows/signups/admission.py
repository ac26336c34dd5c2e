"""What a signup must pass before its password is hashed: its key, the limits, a free e-mail.

All of it is one short transaction, so that a refusal costs little and a count is never lost. Where
nothing is limited and no key is given there is nothing to write, and so no writer to wait for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Customer
from tenantry.core.addresses import UNKNOWN
from tenantry.core.errors import EmailTaken
from tenantry.core.signup import SignupRequest
from tenantry.flows import limiting
from tenantry.flows.service import Service
from tenantry.flows.signups import repeats
from tenantry.flows.signups.answer import SignedUp
from tenantry.flows.signups.repeats import Claim


@dataclass(frozen=True)
class Attempt:
    """How a signup came in: from which network, and under which key, if it has one."""

    network: str = UNKNOWN
    key: str | None = None


def admit(
    service: Service, request: SignupRequest, attempt: Attempt | None, *, now: datetime
) -> Claim | SignedUp | None:
    """The claim on the attempt's key (None: it has none), or what that key was answered before.

    Raises KeyReused, RequestRunning, RateLimited, EmailTaken. An attempt counts with the limits
    also where the e-mail turns out to be known, or addresses could be tried for free.
    """
    if attempt is None or not (attempt.key or service.signup_limits):
        with service.database.read() as session:
            refuse_known_email(session, request)
        return None
    with service.database.write() as session:
        admitted = _take(service, session, request, attempt, now)
        if isinstance(admitted, SignedUp):
            return admitted
        if service.signup_limits:
            who = {"address": attempt.network, "email": request.email_key, "total": ""}
            measured = limiting.measures(service.signup_limits, **who)
            limiting.count_attempt(service, session, measured, now=now)
        is_known = _is_known(session, request)
        if is_known and admitted:
            repeats.give_back(session, admitted)
    if is_known:
        raise EmailTaken
    return admitted


def refuse_known_email(session: Session, request: SignupRequest) -> None:
    """EmailTaken where there is a customer with this e-mail."""
    if _is_known(session, request):
        raise EmailTaken


def _take(
    service: Service, session: Session, request: SignupRequest, attempt: Attempt, now: datetime
) -> Claim | SignedUp | None:
    if attempt.key is None:
        return None
    return repeats.take(service, session, attempt.key, request, now=now)


def _is_known(session: Session, request: SignupRequest) -> bool:
    known = select(Customer.customer_id).where(Customer.email_key == request.email_key)
    return session.scalar(known) is not None

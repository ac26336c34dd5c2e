"""A signup: admitted, hashed, stored (R5, R6, R8); nothing outside the database happens here.

The password is hashed between two short transactions, since the first refuses what needs no work
and a hash takes longer than both. All of the customer, and what a repeated request is answered,
is in the second: a crash anywhere leaves everything or nothing.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlalchemy.exc import IntegrityError

from tenantry.adapters.passwords import hash_password
from tenantry.core.signup import SignupRequest
from tenantry.flows.service import Service
from tenantry.flows.signups import repeats
from tenantry.flows.signups.admission import Attempt, admit, refuse_known_email
from tenantry.flows.signups.answer import SignedUp
from tenantry.flows.signups.customer import create_customer
from tenantry.flows.signups.repeats import Claim

__all__ = ["Attempt", "SignedUp", "signup"]

log = structlog.get_logger()


def signup(
    service: Service, request: SignupRequest, *, now: datetime, attempt: Attempt | None = None
) -> SignedUp:
    """Store the customer and all that is to be done for it. `attempt` says how the request came
    in, which was `now`; without it nothing is limited or remembered. All that the customer has
    begins when it is stored.

    Raises EmailTaken where the e-mail is known, also when two requests race, and what `admit`
    raises. A request that failed leaves its key free, unless DatabaseUnavailable hides that it
    did not fail: then the same key has the answer.
    """
    admitted = admit(service, request, attempt, now=now)
    if isinstance(admitted, SignedUp):
        return admitted
    try:
        return _store(service, request, admitted)
    except Exception:
        if admitted:
            repeats.release(service, admitted)
        raise


def _store(service: Service, request: SignupRequest, claim: Claim | None) -> SignedUp:
    password_hash = hash_password(request.password.reveal())
    try:
        with service.database.write() as session:
            session.connection()  # where writers wait for each other, they do here
            now = service.now()
            if claim:
                repeats.hold(session, claim)
            signed_up = create_customer(
                service, session, request, password_hash, now=now, may_wait=True
            )
            if claim:
                repeats.keep_answer(service, session, claim, signed_up)
    except IntegrityError:
        with service.database.read() as session:
            refuse_known_email(session, request)
        raise
    log.info("customer.signed_up", customer_id=signed_up.customer_id)
    return signed_up

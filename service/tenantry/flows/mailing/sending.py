"""Sending what is due (R50). What became of each letter is one of three: handed over; to be tried
again later, under the same reference; refused for good.

A server that refuses an address for good is believed: support is told, and nothing more goes there
until an operator has corrected it.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, or_, select, update

from tenantry.adapters.database.tables import Customer, Outbox
from tenantry.adapters.mail import Letter
from tenantry.core.backoff import Backoff
from tenantry.core.errors import MailRefused, MailUnreachable, RecipientRefused, TenantryError
from tenantry.core.mail import FOR_SUPPORT, MailKind
from tenantry.flows import outbox
from tenantry.flows.mailing.letters import write
from tenantry.flows.publishing.retry import may_try
from tenantry.flows.service import Service

log = structlog.get_logger()
AT_ONCE = 100
CLAIMED_FOR = timedelta(minutes=5)
OF_MAIL = Backoff(first=timedelta(minutes=1), longest=timedelta(hours=1))


def send_due(service: Service, *, now: datetime) -> int:
    """Hand over what is due; how many letters. A letter that fails is tried again later, alone.
    MailUnreachable: the mail server fails as such, so the others wait where they are.
    """
    with service.database.read() as session:
        due = select(Outbox.id).where(*_is_due(now))
        ids = session.scalars(due.order_by(Outbox.id).limit(AT_ONCE)).all()
    try:
        return sum(_send(service, each, now) for each in ids if _claim(service, each, now))
    finally:
        service.mailbox.close()


def _is_due(now: datetime) -> tuple[ColumnElement[bool], ...]:
    unreachable = select(Customer.customer_id).where(
        or_(Customer.email_refused_at.is_not(None), Customer.erased_at.is_not(None))
    )
    is_for_somebody = or_(
        Outbox.kind.in_(FOR_SUPPORT), Outbox.customer_id.not_in(unreachable.scalar_subquery())
    )
    return (*outbox.IS_UNSENT, may_try(Outbox.retry_at, OF_MAIL, now), is_for_somebody)


def _claim(service: Service, outbox_id: int, now: datetime) -> bool:
    """Whether this mail is ours to send: no other worker took it. Should we die before it is
    recorded, somebody takes it up again after a while.
    """
    ours = update(Outbox).where(Outbox.id == outbox_id, *_is_due(now))
    values = ours.values(retry_at=now + CLAIMED_FOR)
    with service.database.write() as session:
        claimed = session.execute(values.execution_options(synchronize_session=False))
        return bool(getattr(claimed, "rowcount", 0))


def _send(service: Service, outbox_id: int, now: datetime) -> bool:
    letter = None
    try:
        with service.database.read() as session:
            letter = write(service, session, session.get_one(Outbox, outbox_id), now)
        service.mailbox.send(letter, now)
    except MailRefused as error:
        _refuse(service, outbox_id, letter, error, now)
        return False
    except TenantryError as error:
        _postpone(service, outbox_id, str(error), now)
        if isinstance(error, MailUnreachable):
            raise
        return False
    _close(service, outbox_id, now)
    log.info("mail.sent", outbox_id=outbox_id)
    return True


def _close(service: Service, outbox_id: int, now: datetime) -> None:
    with service.database.write() as session:
        row = session.get_one(Outbox, outbox_id, with_for_update=True)
        if row.sent_at is None:
            row.sent_at, row.wrapped, row.last_error, row.retry_at = now, None, None, None
            row.withheld_at = None  # it may have become moot on its way


def _postpone(service: Service, outbox_id: int, said: str, now: datetime) -> None:
    with service.database.write() as session:
        row = session.get_one(Outbox, outbox_id, with_for_update=True)
        if row.sent_at is None:
            row.attempts += 1
            row.retry_at = now + OF_MAIL.wait(row.attempts, random.random())  # noqa: S311
            row.last_error = said
    log.warning("mail.failed", outbox_id=outbox_id, detail=said)


def _refuse(
    service: Service, outbox_id: int, letter: Letter | None, error: MailRefused, now: datetime
) -> None:
    with service.database.write() as session:
        row = session.get_one(Outbox, outbox_id)
        # the customer first, as whoever corrects the address locks them
        customer = session.get_one(
            Customer, row.customer_id, with_for_update={"key_share": True}, populate_existing=True
        )
        session.refresh(row, with_for_update=True)
        if row.sent_at is not None or row.withheld_at is not None:
            return
        is_for_support = row.kind in FOR_SUPPORT
        if letter and not is_for_support and letter.to != customer.email:
            row.retry_at = None  # the address was corrected meanwhile
            return
        row.refused_at, row.retry_at, row.last_error = now, None, str(error)
        row.attempts += 1
        if isinstance(error, RecipientRefused) and not is_for_support:
            customer.email_refused_at = now
            outbox.put(
                session,
                customer_id=row.customer_id,
                kind=MailKind.ADDRESS_REFUSED,
                period=f"{now:%Y-%m-%d}",
                now=now,
            )
        told = {"customer_id": row.customer_id, "kind": row.kind, "detail": str(error)}
    log.error("mail.refused", outbox_id=outbox_id, **told)

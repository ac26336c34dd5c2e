"""Sending what is due (R50). What became of each letter is one of three: handed over; to be tried
again later, under the same reference; refused for good.

A server that refuses an address for good is believed: support is told, and nothing more goes there
until an operator has corrected it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, select

from tenantry.adapters.database.tables import Customer, Outbox
from tenantry.adapters.mail import Letter
from tenantry.core.backoff import Backoff
from tenantry.core.errors import (
    DatabaseUnavailable,
    MailRefused,
    MailUnreachable,
    RecipientRefused,
    TenantryError,
)
from tenantry.core.frames import frames
from tenantry.core.mail import FOR_SUPPORT, OF_ACCOUNT, WAITED_FOR, MailKind
from tenantry.core.model import TokenPurpose
from tenantry.flows import outbox
from tenantry.flows.accounts import links
from tenantry.flows.mailing.letters import write
from tenantry.flows.publishing.retry import may_try
from tenantry.flows.service import Service

log = structlog.get_logger()
AT_ONCE = 20  # so that what somebody waits for never stands behind many others
AT_MOST_REFUSED = 3  # addresses, before a server that takes nothing is doubted instead
CLAIMED_FOR = timedelta(minutes=10)  # longer than thirteen times adapters.smtp.LONGEST_ANSWER
OF_MAIL = Backoff(first=timedelta(minutes=1), longest=timedelta(hours=1))
CLOCKS_APART = timedelta(minutes=5)  # at most: two workers', or a look and its claim
_OF_CLAIM = Backoff(first=CLAIMED_FOR, longest=CLAIMED_FOR + CLOCKS_APART)


@dataclass(frozen=True)
class _Claim:
    """A mail that nobody else sends until then."""

    outbox_id: int
    until: datetime


@dataclass(frozen=True)
class _Refusal:
    claim: _Claim
    to: str
    error: MailRefused


def send_due(service: Service) -> int:
    """Hand over some of what is due, what somebody waits for first; how many letters. A letter that
    fails is tried again later, alone. MailUnreachable: the mail server fails as such, so the others
    wait where they are.
    """
    with service.database.read() as session:
        due = select(Outbox.id).where(*_is_due(service.now()))
        in_order = due.order_by(Outbox.kind.not_in(WAITED_FOR), Outbox.id)
        ids = session.scalars(in_order.limit(AT_ONCE)).all()
    this = _Pass(service)
    try:
        for each in ids:
            if claim := _claim(service, each):
                this.send(claim)
        this.believe()
    except MailUnreachable:
        this.doubt()
        raise
    finally:
        service.mailbox.close()
    return this.taken


@dataclass
class _Pass:
    """One pass over what is due. A server that takes nothing and refuses one address after another
    is at fault itself, so it is believed only once it took a letter, or all were tried.
    """

    service: Service
    taken: int = 0
    refusals: list[_Refusal] = field(default_factory=list)

    def send(self, claim: _Claim) -> None:
        """Try one letter. MailUnreachable: no other need be tried."""
        outbox_id = claim.outbox_id
        try:
            letter = _write(self.service, outbox_id)
            refused = _hand_over(self.service, letter)
        except DatabaseUnavailable:
            raise
        except TenantryError as error:
            _postpone(self.service, claim, str(error))
            if isinstance(error, MailUnreachable):
                raise
            return
        except Exception as error:  # noqa: BLE001 - the others go on
            name = type(error).__name__  # its words may quote the customer's
            log.error("mail.crashed", outbox_id=outbox_id, error=name, frames=frames(error))
            _postpone(self.service, claim, name)
            self.service.mailbox.close()  # it may have been in the middle of the letter
            return
        if refused:
            self.refusals.append(_Refusal(claim, letter.to, refused))
        else:
            _close(self.service, outbox_id)
            self.taken += 1
        self._weigh()

    def _weigh(self) -> None:
        if self.taken:
            self.believe()
        elif self._count_addresses() > AT_MOST_REFUSED:
            raise MailUnreachable(f"one address after another: {self.refusals[-1].error}")

    def _count_addresses(self) -> int:
        """That were refused since a letter was taken last, in this pass or before."""
        these = [each for each in self.refusals if isinstance(each.error, RecipientRefused)]
        if not these:
            return 0
        with self.service.database.read() as session:
            before = outbox.count_failing(session, but=[each.claim.outbox_id for each in these])
        return before + len({each.to for each in these})

    def believe(self) -> None:
        """What was refused is refused."""
        while self.refusals:
            _refuse(self.service, self.refusals.pop(0))

    def doubt(self) -> None:
        """What was refused is tried again later."""
        for each in self.refusals:
            _postpone(self.service, each.claim, str(each.error))


def _is_due(now: datetime) -> tuple[ColumnElement[bool], ...]:
    is_free = may_try(Outbox.claimed_until, _OF_CLAIM, now)
    return (*outbox.IS_WAITING, may_try(Outbox.retry_at, OF_MAIL, now), is_free)


def _claim(service: Service, outbox_id: int) -> _Claim | None:
    """The mail, where it is ours to send: no other worker took it, and its link still opens
    something. Should we die before it is recorded, somebody takes it up again after a while.
    """
    now = service.now()
    this = select(Outbox).where(Outbox.id == outbox_id, *_is_due(now))
    with service.database.write() as session:
        row = session.scalar(this.with_for_update(of=Outbox))
        if row is None:
            return None
        if row.kind in OF_ACCOUNT and now >= row.created_at + links.LASTS[TokenPurpose(row.kind)]:
            row.withheld_at, row.wrapped = now, None
            return None
        row.claimed_until = now + CLAIMED_FOR
        return _Claim(outbox_id, row.claimed_until)


def _write(service: Service, outbox_id: int) -> Letter:
    with service.database.read() as session:
        return write(service, session, session.get_one(Outbox, outbox_id), service.now())


def _hand_over(service: Service, letter: Letter) -> MailRefused | None:
    try:
        service.mailbox.send(letter, service.now())
    except MailRefused as error:
        return error
    return None


def _close(service: Service, outbox_id: int) -> None:
    with service.database.write() as session:
        row = session.get_one(Outbox, outbox_id, with_for_update=True)
        if row.sent_at is None:
            row.sent_at, row.wrapped, row.last_error = service.now(), None, None
            row.retry_at = row.claimed_until = None
            row.withheld_at = None  # it may have become moot on its way
    log.info("mail.sent", outbox_id=outbox_id)


def _postpone(service: Service, claim: _Claim, said: str) -> None:
    """Try it later, unless the claim ran out and another worker has it by now."""
    with service.database.write() as session:
        row = session.get_one(Outbox, claim.outbox_id, with_for_update=True)
        if row.sent_at is None and row.claimed_until == claim.until:
            row.attempts += 1
            wait = OF_MAIL.wait(row.attempts, random.random())  # noqa: S311 - no secret
            row.retry_at, row.claimed_until = service.now() + wait, None
            row.last_error = said
    log.warning("mail.failed", outbox_id=claim.outbox_id, detail=said)


def _refuse(service: Service, refusal: _Refusal) -> None:
    now, error = service.now(), refusal.error
    with service.database.write() as session:
        row = session.get_one(Outbox, refusal.claim.outbox_id)
        # the customer first, as whoever corrects the address locks them
        customer = session.get_one(
            Customer, row.customer_id, with_for_update={"key_share": True}, populate_existing=True
        )
        session.refresh(row, with_for_update=True)
        if row.sent_at is not None or row.withheld_at is not None:
            return
        is_for_support = row.kind in FOR_SUPPORT
        if row.claimed_until == refusal.claim.until:
            row.claimed_until = None
        if not is_for_support and refusal.to != customer.email:
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
    log.error("mail.refused", outbox_id=refusal.claim.outbox_id, **told)

"""What an operator does about mail that did not arrive: look, correct the address, send again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Audit, Customer, Outbox
from tenantry.adapters.passwords import NO_PASSWORD
from tenantry.core.errors import ChangeRefused, EmailTaken, NotFound
from tenantry.core.mail import FOR_SUPPORT, OF_ACCOUNT, MailKind
from tenantry.core.model import TokenPurpose
from tenantry.core.signup import email_key, normalize_email
from tenantry.flows import outbox
from tenantry.flows.accounts import links
from tenantry.flows.accounts.logins import end_all_logins
from tenantry.flows.accounts.passwords import SET_ANEW
from tenantry.flows.accounts.status_link import renew_status_link
from tenantry.flows.audit_rows import audited
from tenantry.flows.rows import locked_customer
from tenantry.flows.service import Service


@dataclass(frozen=True)
class Unsent:
    """A mail that was not sent. `state`: waiting, refused, or held since its address is refused."""

    customer_id: str
    kind: str
    state: str
    created_at: datetime
    retry_at: datetime | None
    attempts: int
    last_error: str | None

    def as_json(self) -> dict[str, Any]:
        """For a program; times in ISO 8601."""
        times = {"created_at": self.created_at.isoformat()}
        times["retry_at"] = self.retry_at.isoformat() if self.retry_at else ""
        return {**asdict(self), **times, "last_error": self.last_error or ""}

    def as_text(self) -> str:
        """For a person, as one line."""
        line = f"{self.customer_id}  {self.kind:<16}  {self.state:<7}  {self.attempts} tries"
        return f"{line}  {self.last_error}" if self.last_error else line


def list_unsent(service: Service, *, refused: bool) -> list[Unsent]:
    """What was not sent, oldest first; `refused`: only what a server refused for good."""
    rows = (
        select(Outbox, Customer.email_refused_at)
        .join(Customer, Customer.customer_id == Outbox.customer_id)
        .where(*outbox.IS_UNSENT)
        .order_by(Outbox.id)
    )
    if refused:
        rows = rows.where(Outbox.refused_at.is_not(None))
    with service.database.read() as session:
        return [_unsent(row, refused_at) for row, refused_at in session.execute(rows)]


def _unsent(row: Outbox, address_refused_at: datetime | None) -> Unsent:
    is_held = address_refused_at is not None and row.kind not in FOR_SUPPORT
    return Unsent(
        customer_id=row.customer_id,
        kind=row.kind,
        state="refused" if row.refused_at else "held" if is_held else "waiting",
        created_at=row.created_at,
        retry_at=row.retry_at,
        attempts=row.attempts,
        last_error=row.last_error,
    )


def correct_address(
    service: Service, customer_id: str, address: str, *, actor: str, now: datetime
) -> int:
    """Another address for a customer, by the rules of a signup; how many mails go out to it now.
    InvalidInput, EmailTaken, or NotFound. Whoever has the old one is out: its links are worth
    nothing, sessions end, and so does a password that was set by a link. The new one gets links of
    its own: to set a password then, where addresses have to be confirmed, and in a welcome that was
    not sent yet.
    """
    email = normalize_email(address)
    try:
        with service.database.write() as session:
            _, customer = locked_customer(session, customer_id)
            if email != customer.email:
                _change_address(service, session, customer, email, now)
            customer.email_refused_at = None
            session.add(audited("customer.address_corrected", customer_id, actor=actor, now=now))
            return _retry_unsent(session, customer_id)
    except IntegrityError:
        raise EmailTaken from None


def _change_address(
    service: Service, session: Session, customer: Customer, email: str, now: datetime
) -> None:
    customer.email, customer.email_key = email, email_key(email)
    customer.email_confirmed_at = None
    session.flush()
    customer_id = customer.customer_id
    links.forget_all(session, customer_id)
    outbox.drop_unsent(session, customer_id, OF_ACCOUNT, now=now)
    end_all_logins(session, customer_id)
    renew_status_link(service, session, customer)
    if _is_set_by_link(session, customer_id):
        customer.password_hash = NO_PASSWORD
        links.send_link(service, session, customer_id, TokenPurpose.RESET, now=now)
    if service.confirm_email:
        links.send_link(service, session, customer_id, TokenPurpose.CONFIRM, now=now)


def _is_set_by_link(session: Session, customer_id: str) -> bool:
    """Whether the password was set by who reads the mail, and not only at the signup."""
    was_set = select(Audit.id).where(Audit.customer_id == customer_id, Audit.action == SET_ANEW)
    return session.scalar(was_set.limit(1)) is not None


def resend(
    service: Service, customer_id: str, kind: MailKind | None, *, actor: str, now: datetime
) -> int:
    """Send again what was refused or waits after a failure; how many mails. Where `kind` is named,
    only that, and its latest also where it was sent. ChangeRefused where the address is refused, or
    where the link that such a mail carries is made only when it is asked for.
    """
    with service.database.write() as session:
        _, customer = locked_customer(session, customer_id)
        if customer.email_refused_at is not None:
            raise ChangeRefused(
                f"a mail server refused the address of {customer_id}",
                remedy="correct it with `tenantry mail correct`; what waits goes out then",
            )
        number = _retry_unsent(session, customer_id, kind)
        if kind is not None and number == 0:
            number = _repeat(session, customer_id, kind, now)
        row = audited("mail.resent", customer_id, actor=actor, now=now, kind=kind, mails=number)
        session.add(row)
        return number


def _retry_unsent(session: Session, customer_id: str, kind: MailKind | None = None) -> int:
    """Make due now what was not sent, to the customer or of that kind; how many mails."""
    unsent = (
        update(Outbox)
        .where(
            Outbox.customer_id == customer_id,
            *outbox.IS_UNSENT,
            Outbox.kind.not_in(FOR_SUPPORT) if kind is None else Outbox.kind == kind,
        )
        .values(refused_at=None, retry_at=None)
    )
    found = session.execute(unsent.execution_options(synchronize_session=False))
    return int(getattr(found, "rowcount", 0))


def _repeat(session: Session, customer_id: str, kind: MailKind, now: datetime) -> int:
    """Make due once more what was sent."""
    sent = select(Outbox.id).where(
        Outbox.customer_id == customer_id, Outbox.kind == kind, Outbox.sent_at.is_not(None)
    )
    if session.scalar(sent.limit(1)) is None:
        raise NotFound(f"no mail of the kind {kind} was due for {customer_id}")
    if kind in OF_ACCOUNT:
        raise ChangeRefused(
            f"the link of a mail of the kind {kind} is good once",
            remedy="the customer asks for a new one at the login page",
        )
    period = f"again-{now:%Y%m%dT%H%M%S.%f}"
    outbox.put(session, customer_id=customer_id, kind=kind, period=period, now=now)
    return 1

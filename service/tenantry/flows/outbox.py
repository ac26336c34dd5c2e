"""Mail that is due: rows written in the transaction that makes it due; `flows.mailing` sends them.

One row per customer, kind and period, so a mail is sent once (R50).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, not_, or_, select, update
from sqlalchemy.orm import Session

from tenantry.adapters.database.session import insert_new
from tenantry.adapters.database.tables import Customer, Outbox
from tenantry.core.mail import FOR_SUPPORT, OF_INSTANCE, MailKind

_NOBODY = select(Customer.customer_id).where(
    or_(Customer.email_refused_at.is_not(None), Customer.erased_at.is_not(None))
)
# Neither sent nor chosen not to be.
IS_UNSENT: tuple[ColumnElement[bool], ...] = (
    Outbox.sent_at.is_(None),
    Outbox.withheld_at.is_(None),
)
# Nor refused by a server, nor held since its address is: it goes out sooner or later.
IS_WAITING: tuple[ColumnElement[bool], ...] = (
    *IS_UNSENT,
    Outbox.refused_at.is_(None),
    or_(Outbox.kind.in_(FOR_SUPPORT), Outbox.customer_id.not_in(_NOBODY.scalar_subquery())),
)


def put(
    session: Session,
    *,
    customer_id: str,
    kind: MailKind,
    now: datetime,
    period: str = "",
    wrapped: bytes | None = None,
) -> None:
    """Make a mail due; nothing where this kind was due for this period before. `wrapped` is what
    only the mail may carry, such as the status link's token; it is emptied once sent.
    """
    row = {
        "customer_id": customer_id,
        "kind": kind,
        "period": period,
        "wrapped": wrapped,
        "created_at": now,
    }
    insert_new(session, Outbox, [row])


def withhold(session: Session, *, customer_id: str, now: datetime) -> None:
    """Let no mail about its instance ever become due for the customer."""
    row = {"customer_id": customer_id, "period": "", "created_at": now, "withheld_at": now}
    insert_new(session, Outbox, [row | {"kind": kind} for kind in sorted(OF_INSTANCE)])


def drop_unsent(
    session: Session,
    customer_id: str,
    kinds: Collection[MailKind],
    *,
    but: tuple[MailKind | None, str] = (None, ""),
    now: datetime,
) -> None:
    """Do not send what is due of these kinds and was not sent: it says what is over. `but`: the
    kind and period of what is still true.
    """
    kept = and_(Outbox.kind == but[0], Outbox.period == but[1])
    unsent = update(Outbox).where(
        Outbox.customer_id == customer_id,
        Outbox.kind.in_(kinds),
        not_(kept),
        *IS_UNSENT,
    )
    dropped = {"withheld_at": now, "refused_at": None, "wrapped": None}
    session.execute(unsent.values(dropped).execution_options(synchronize_session=False))


def count_failing(session: Session, *, but: Collection[int]) -> int:
    """Customers whose mail was due and failed since any was sent last; `but` these mails."""
    last_sent = select(func.max(Outbox.sent_at)).scalar_subquery()
    failing = select(func.count(Outbox.customer_id.distinct())).where(
        *IS_WAITING,
        Outbox.id.not_in(but),
        Outbox.last_error.is_not(None),
        or_(last_sent.is_(None), Outbox.created_at > last_sent),
    )
    return session.scalar(failing) or 0


def restore(session: Session, customer_id: str, kind: MailKind, period: str) -> None:
    """Send after all what was dropped: it is true again."""
    dropped = update(Outbox).where(
        Outbox.customer_id == customer_id,
        Outbox.kind == kind,
        Outbox.period == period,
        Outbox.sent_at.is_(None),
        Outbox.withheld_at.is_not(None),
    )
    again = dropped.values(withheld_at=None)
    session.execute(again.execution_options(synchronize_session=False))

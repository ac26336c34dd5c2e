"""Mail that is due: rows written in the transaction that makes it due, sent by the worker (R50).

One row per customer, kind and period, so a mail is sent once; a letter that was handed over just
before a crash is handed over again under the same reference.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from jinja2 import (
    DictLoader,
    Environment,
    StrictUndefined,
    TemplateError,
    TemplateSyntaxError,
    meta,
    nodes,
    select_autoescape,
)
from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from tenantry.adapters.database.session import insert_new
from tenantry.adapters.database.tables import Customer, Outbox, Subscription, Tenant
from tenantry.adapters.mail import Letter
from tenantry.core import trial
from tenantry.core.backoff import Backoff
from tenantry.core.errors import MailError, ProductError, TenantryError
from tenantry.core.mail import FOR_SUPPORT, OF_INSTANCE, MailKind
from tenantry.flows.publishing.retry import may_try
from tenantry.flows.service import Service

log = structlog.get_logger()
AT_ONCE = 100
CLAIMED_FOR = timedelta(minutes=5)
OF_MAIL = Backoff(first=timedelta(minutes=1), longest=timedelta(hours=1))
NAMES = frozenset(
    {
        "product", "support", "customer_id", "email", "company_name", "full_name", "instance_url",
        "login_url", "login_name", "status_url", "trial_days", "last_day", "status", "reason",
        "resource", "application_url", "plan", "days_left", "grace_days", "stage", "account_url",
        "confirm_url", "reset_url",
    }
)  # fmt: skip


def put(
    session: Session,
    *,
    customer_id: str,
    kind: str,
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
    session: Session, customer_id: str, kinds: Collection[MailKind], *, now: datetime
) -> None:
    """Never send what is due of these kinds and was not sent: it says what is over."""
    unsent = update(Outbox).where(
        Outbox.customer_id == customer_id,
        Outbox.kind.in_(kinds),
        Outbox.sent_at.is_(None),
        Outbox.withheld_at.is_(None),
    )
    session.execute(unsent.values(withheld_at=now).execution_options(synchronize_session=False))


def check_templates(texts: Mapping[str, str]) -> None:
    """ProductError where the vendor's mail lacks a text, is broken or reads a name that no mail
    has: at start, and not when the first customer's is due.
    """
    for name in (f"{kind}.{form}" for kind in MailKind for form in ("txt", "html")):
        if name not in texts:
            raise ProductError("is missing", file=f"mail/{name}", hint="each mail has both forms")
    for name in texts:
        _check_template(_environment(texts), name, texts[name])


def _check_template(environment: Environment, name: str, text: str) -> None:
    try:
        tree = environment.parse(text, name)
        environment.get_template(name)
    except TemplateSyntaxError as error:
        raise ProductError(
            str(error.message), file=f"mail/{error.name}", line=error.lineno, hint="this is Jinja2"
        ) from None
    for other in meta.find_referenced_templates(tree):
        if other is not None and other not in environment.list_templates():
            raise ProductError(f"there is no {other}", file=f"mail/{name}", hint="it stands beside")
    unknown = meta.find_undeclared_variables(tree) - NAMES
    for node in tree.find_all(nodes.Name):
        if node.name in unknown:
            raise ProductError(
                f"there is no {node.name}",
                file=f"mail/{name}",
                line=node.lineno,
                hint=f"mail may say {', '.join(sorted(NAMES))}",
            )


def send_due(service: Service, *, now: datetime) -> int:
    """Hand over what is due; how many letters. A failure is tried again later, alone."""
    with service.database.read() as session:
        due = select(Outbox.id).where(*_is_due(now))
        ids = session.scalars(due.order_by(Outbox.id).limit(AT_ONCE)).all()
    return sum(_send(service, each, now) for each in ids if _claim(service, each, now))


def _is_due(now: datetime) -> tuple[ColumnElement[bool], ...]:
    waited = may_try(Outbox.retry_at, OF_MAIL, now)
    return (Outbox.sent_at.is_(None), Outbox.withheld_at.is_(None), waited)


def _claim(service: Service, outbox_id: int, now: datetime) -> bool:
    """Whether this mail is ours to send: no other worker took it. Should we die before it is
    recorded, somebody takes it up again after a while.
    """
    ours = update(Outbox).where(Outbox.id == outbox_id, *_is_due(now))
    with service.database.write() as session:
        claimed = session.execute(ours.values(retry_at=now + CLAIMED_FOR))
        return bool(getattr(claimed, "rowcount", 0))


def _send(service: Service, outbox_id: int, now: datetime) -> bool:
    try:
        with service.database.read() as session:
            letter = _write(service, session, session.get_one(Outbox, outbox_id))
        service.mailbox.send(letter, now)
    except TenantryError as error:
        said = str(error)
        _record(service, outbox_id, lambda row: _postpone(row, said, now))
        log.warning("mail.failed", outbox_id=outbox_id, detail=said)
        return False
    _record(service, outbox_id, lambda row: _close(row, now))
    log.info("mail.sent", outbox_id=outbox_id)
    return True


def _record(service: Service, outbox_id: int, change: Callable[[Outbox], None]) -> None:
    with service.database.write() as session:
        row = session.get_one(Outbox, outbox_id, with_for_update=True)
        if row.sent_at is None:
            change(row)


def _close(row: Outbox, now: datetime) -> None:
    row.sent_at, row.wrapped, row.last_error, row.retry_at = now, None, None, None


def _postpone(row: Outbox, said: str, now: datetime) -> None:
    row.attempts += 1
    row.retry_at = now + OF_MAIL.wait(row.attempts, random.random())  # noqa: S311 - no secret
    row.last_error = said


def _write(service: Service, session: Session, row: Outbox) -> Letter:
    context = _context(service, session, row)
    subject, _, text = _fill(service, f"{row.kind}.txt", context).partition("\n")
    return Letter(
        reference=f"{row.kind}-{row.customer_id}-{row.id}",
        to=_recipient(service, row.kind, context["email"]),
        subject=subject.removeprefix("Subject:").strip(),
        text=text.lstrip("\n"),
        html=_fill(service, f"{row.kind}.html", context),
    )


def _context(service: Service, session: Session, row: Outbox) -> dict[str, Any]:
    customer = session.get_one(Customer, row.customer_id)
    tenant = session.get_one(Tenant, row.customer_id)
    subscription = session.get_one(Subscription, row.customer_id)
    token = service.vault.unwrap(row.wrapped) if row.wrapped else None
    bootstrap = service.product.bootstrap
    return {
        "product": service.product.title,
        "support": service.product.support,
        "customer_id": row.customer_id,
        "email": customer.email,
        "company_name": customer.company_name,
        "full_name": customer.full_name,
        "instance_url": tenant.instance_url,
        "login_url": f"{tenant.instance_url}{bootstrap.path}" if bootstrap else None,
        "login_name": row.customer_id if bootstrap else None,
        "status_url": f"{service.public_url}/status/{token}" if token else None,
        "trial_days": service.product.trial.days,
        "last_day": _last_day(subscription, customer),
        "days_left": max(0, (subscription.trial_ends_at - service.now()).days),
        "grace_days": service.product.trial.grace_days,
        "stage": subscription.status,
        "plan": service.product.plans[subscription.plan].title,
        "account_url": f"{service.public_url}/account",
        "confirm_url": f"{service.public_url}/confirm/{token}" if token else None,
        "reset_url": f"{service.public_url}/reset/{token}" if token else None,
        "status": tenant.status,
        "reason": tenant.detail,
        "resource": tenant.resource,
        "application_url": _application_url(service, tenant),
    }


def _application_url(service: Service, tenant: Tenant) -> str | None:
    """The tenant's page at Argo CD; None where its cell has none."""
    cell = service.cells.get(tenant.cell)
    return cell.application_url(tenant.name) if cell else None


def _recipient(service: Service, kind: str, email: str) -> str:
    if kind not in FOR_SUPPORT:
        return email
    if service.support_mail is None:
        raise MailError("nobody is set to be told of failed deployments: set TENANTRY_SUPPORT_MAIL")
    return service.support_mail


def _last_day(subscription: Subscription, customer: Customer) -> str:
    day = trial.last_day(subscription.trial_ends_at, customer.time_zone)
    return f"{day.day} {day:%B %Y}"


def _fill(service: Service, name: str, context: dict[str, Any]) -> str:
    try:
        return _environment(service.mail_templates).get_template(name).render(context)
    except TemplateError as error:
        raise MailError(f"mail/{name} cannot be filled in: {error}") from error


def _environment(texts: Mapping[str, str]) -> Environment:
    return Environment(
        loader=DictLoader(dict(texts)),
        undefined=StrictUndefined,
        autoescape=select_autoescape(["html"]),
        trim_blocks=True,
        keep_trailing_newline=True,
    )

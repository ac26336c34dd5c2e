"""What a mail says of its customer at the moment at which it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Customer, Outbox, Tenant
from tenantry.adapters.mail import Letter, is_address
from tenantry.core.days import day_of, ending, last_day, written
from tenantry.core.errors import MailError
from tenantry.core.mail import FOR_SUPPORT, name_to_greet, without_links
from tenantry.core.model import State
from tenantry.core.product import Product
from tenantry.core.subscription import Booking, EventKind, position, timeline
from tenantry.flows.mailing.templates import fill
from tenantry.flows.rows import was_ever_ready
from tenantry.flows.service import Service
from tenantry.flows.subscriptions.booking import CUSTOMER, read_booking, told_by


@dataclass(frozen=True)
class About:
    """What a mail is about. `token` is that of its link, where it carries one."""

    customer: Customer
    tenant: Tenant
    booking: Booking
    token: str | None
    application_url: str | None  # at Argo CD
    was_ready: bool
    was_asked_for: bool  # the cancellation, by the customer


def write(service: Service, session: Session, row: Outbox, now: datetime) -> Letter:
    """The letter of a row of the outbox; MailError where it cannot be written."""
    about = _about(service, session, row)
    to = _recipient(service, row.kind, about.customer.email)
    says = words(service.product, service.public_url, about, now)
    reference = f"{row.kind}-{row.customer_id}-{row.id}"
    return compose_letter(service.mail_templates, row.kind, says, to=to, reference=reference)


def compose_letter(
    texts: Mapping[str, str], kind: str, says: Mapping[str, Any], *, to: str, reference: str
) -> Letter:
    """The letter of a kind that says this. The first line of its text is the subject."""
    subject, _, text = fill(texts, f"{kind}.txt", says).partition("\n")
    support = says["support"] or ""
    return Letter(
        reference=reference,
        to=to,
        subject=subject.removeprefix("Subject:").strip(),
        text=text.strip("\n") + "\n",
        html=fill(texts, f"{kind}.html", says),
        reply_to=support if is_address(support) else None,  # it may be a page
    )


def _about(service: Service, session: Session, row: Outbox) -> About:
    customer = session.get_one(Customer, row.customer_id)
    tenant = session.get_one(Tenant, row.customer_id)
    cell = service.cells.get(tenant.cell)
    return About(
        customer=customer,
        tenant=tenant,
        booking=read_booking(session, row.customer_id),
        token=service.vault.unwrap(row.wrapped) if row.wrapped else None,
        application_url=cell.application_url(tenant.name) if cell else None,
        was_ready=was_ever_ready(session, row.customer_id),
        was_asked_for=told_by(session, row.customer_id, EventKind.CANCELLED) == CUSTOMER,
    )


def words(product: Product, public_url: str, about: About, now: datetime) -> dict[str, Any]:
    """Each of `core.mail.NAMES`; days are those of the customer's calendar."""
    return {
        **_of_product(product),
        **_of_customer(about),
        **_of_tenant(product, about),
        **_of_booking(product, about.booking, now),
        "was_asked_for": about.was_asked_for,
        **_links(public_url, about.token),
    }


def _of_product(product: Product) -> dict[str, Any]:
    return {
        "product": product.title,
        "support": product.support,
        "estimated_time": product.estimated_time,
        "trial_days": product.trial.days,
        "grace_days": product.trial.grace_days,
    }


def _of_customer(about: About) -> dict[str, Any]:
    return {
        "customer_id": about.customer.customer_id,
        "email": about.customer.email,
        "company_name": without_links(about.customer.company_name),
        "full_name": name_to_greet(about.customer.full_name),
    }


def _of_tenant(product: Product, about: About) -> dict[str, Any]:
    tenant, bootstrap = about.tenant, product.bootstrap
    return {
        "instance_url": tenant.instance_url,
        "login_url": bootstrap.url(tenant.instance_url) if bootstrap else None,
        "login_name": tenant.customer_id if bootstrap else None,
        "status": tenant.status,
        "reason_code": tenant.reason_code,
        "reason": tenant.detail,
        "resource": tenant.resource,
        "application_url": about.application_url,
        "was_ready": about.was_ready,
    }


def _of_booking(product: Product, booking: Booking, now: datetime) -> dict[str, Any]:
    zone = booking.time_zone
    trial_ends = last_day(booking.trial_ends_at, zone)
    moments = timeline(booking, product)
    ends = next((each.at for each in moments if each.state != State.ACTIVE), None)
    over = next((each.at for each in moments if each.state == State.SUSPENDED), None)
    stands = position(booking, product, now).moment
    return {
        "plan": product.plans[booking.plan].title if booking.plan in product.plans else "",
        "is_paid": booking.is_paid,
        "stage": stands.stage,
        "state": stands.state,
        "last_day": written(trial_ends),
        "days_left": max(0, (trial_ends - day_of(now, zone)).days),
        "paid_until": ending(booking.paid_until, zone) if booking.paid_until else None,
        "runs_until": ending(ends, zone) if ends else None,
        "read_only_until": ending(over, zone) if over and over != ends else None,
        "suspended_on": written(day_of(over, zone)) if over else None,
    }


def _links(public_url: str, token: str | None) -> dict[str, Any]:
    pages = {"status_url": "status", "confirm_url": "confirm", "reset_url": "reset"}
    return {
        "account_url": f"{public_url}/account",
        **{name: f"{public_url}/{page}/{token}" if token else None for name, page in pages.items()},
    }


def _recipient(service: Service, kind: str, email: str) -> str:
    if kind not in FOR_SUPPORT:
        return email
    if service.support_mail is None:
        raise MailError("nobody is set to be told of failed deployments: set TENANTRY_SUPPORT_MAIL")
    return service.support_mail

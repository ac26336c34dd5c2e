"""What a customer sees of its own: instance, subscription, license, plans."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Customer, LicenseRow, Subscription, Tenant
from tenantry.core.model import State
from tenantry.core.outlook import Phase, if_cancelled, outlook
from tenantry.core.product import Plan
from tenantry.core.subscription import Booking, EventKind, Moment, Stage, position
from tenantry.flows.accounts.waiting import is_waiting
from tenantry.flows.service import Service
from tenantry.flows.status import StatusView, view_of
from tenantry.flows.subscriptions.booking import BILLING, booking_of, told_by


@dataclass(frozen=True)
class LicenseFacts:
    """The license that the instance has, or is to have; `until` is exclusive."""

    license_id: str
    kind: str
    until: datetime
    is_revoked: bool


@dataclass(frozen=True)
class Offer:
    """A plan to choose, and where that is done (None: by asking)."""

    plan: Plan
    link: str | None
    is_booked: bool
    is_upgrade: bool


@dataclass(frozen=True)
class Overview:
    """All that the customer's page shows. `phases` come if nobody does anything, `if_cancelled`
    were it cancelled now. `portal`: where who pays looks after it; None where nobody does, or there
    is none. `is_kept_there`: a cancellation is taken back where it is paid.
    """

    status: StatusView
    email: str = field(repr=False)
    login_url: str
    booking: Booking
    stage: Stage
    phases: tuple[Phase, ...]
    if_cancelled: tuple[Phase, ...]
    license: LicenseFacts
    offers: tuple[Offer, ...]
    can_cancel: bool
    can_resume: bool
    is_kept_there: bool
    portal: str | None


def read_overview(service: Service, customer_id: str) -> Overview:
    """The customer's own view, as of now."""
    now = service.now()
    with service.database.read() as session:
        customer = session.get_one(Customer, customer_id)
        subscription = session.get_one(Subscription, customer_id)
        tenant = session.get_one(Tenant, customer_id)
        booking = booking_of(subscription, customer)
        moment = position(booking, service.product, now).moment
        stage = moment.stage
        pays = _pays(booking, moment, told_by(session, customer_id, EventKind.PAID))
        cancelled_by = told_by(session, customer_id, EventKind.CANCELLED)
        can_resume = may_resume(booking, cancelled_by, now)
        status = view_of(service, session, customer)
        return Overview(
            status=status,
            email=customer.email,
            login_url=_login_url(service, tenant),
            booking=booking,
            stage=stage,
            phases=outlook(booking, service.product, now),
            if_cancelled=if_cancelled(booking, service.product, now),
            license=_license(session, tenant),
            offers=_offers(service, customer_id, booking, stage, pays=pays),
            can_cancel=may_cancel(booking, stage, tenant),
            can_resume=can_resume,
            is_kept_there=_runs_on(booking, now) and not can_resume,
            portal=_led(service.product.paid.portal, customer_id) if pays else None,
        )


def read_license(service: Service, customer_id: str) -> str:
    """The license's token, for its own customer only."""
    with service.database.read() as session:
        tenant = session.get_one(Tenant, customer_id)
        row = session.get_one(LicenseRow, tenant.approved["license_id"])
        return service.vault.unwrap(row.wrapped)


def may_cancel(booking: Booking, stage: Stage, tenant: Tenant) -> bool:
    """Whether there is something to cancel: not before it begins, nor once it is suspended."""
    return booking.cancelled_at is None and stage != Stage.SUSPENDED and not is_waiting(tenant)


def may_resume(booking: Booking, cancelled_by: str | None, now: datetime) -> bool:
    """Whether a cancellation can be taken back here: until what was cancelled has ended, and not
    where the payment provider told of it, which would take no payment nevertheless.
    """
    return _runs_on(booking, now) and cancelled_by != BILLING


def _runs_on(booking: Booking, now: datetime) -> bool:
    return booking.ends_at is not None and booking.ends_at > now


def _pays(booking: Booking, moment: Moment, paid_by: str | None) -> bool:
    """Whether the payment provider has a subscription that runs: a payment link would begin a
    second one beside it.
    """
    goes_on = moment.stage in (Stage.ACTIVE, Stage.PAST_DUE)
    runs_out = moment.stage == Stage.CANCELLED and moment.state == State.ACTIVE
    return booking.is_paid and paid_by == BILLING and (goes_on or runs_out)


def _login_url(service: Service, tenant: Tenant) -> str:
    bootstrap = service.product.bootstrap
    return bootstrap.url(tenant.instance_url) if bootstrap else tenant.instance_url


def _license(session: Session, tenant: Tenant) -> LicenseFacts:
    row = session.get_one(LicenseRow, tenant.approved["license_id"])
    return LicenseFacts(row.license_id, row.kind, row.expires_at, row.revoked_at is not None)


def _offers(
    service: Service, customer_id: str, booking: Booking, stage: Stage, *, pays: bool
) -> tuple[Offer, ...]:
    plans, portal = service.product.plans, service.product.paid.portal
    runs = booking.is_paid and stage in (Stage.ACTIVE, Stage.PAST_DUE)
    below = list(plans).index(booking.plan) if booking.plan in plans else -1
    return tuple(
        Offer(
            plan,
            _led(portal if pays else plan.payment_link, customer_id),
            runs and name == booking.plan,
            place > below,
        )
        for place, (name, plan) in enumerate(plans.items())
    )


def _led(link: str | None, customer_id: str) -> str | None:
    return link and link.replace("{customer_id}", customer_id)

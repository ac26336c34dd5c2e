"""What an operator decides about a subscription: paid by other means, cancelled, resumed (R52)."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from tenantry.adapters.database.tables import BillingEvent, Customer, Subscription
from tenantry.core.billing import LATEST
from tenantry.core.days import day_ends
from tenantry.core.errors import ChangeRefused
from tenantry.core.subscription import Booking, Event, EventKind
from tenantry.flows.rows import no_customer
from tenantry.flows.service import Service
from tenantry.flows.subscriptions.booking import OPERATOR, booking_of
from tenantry.flows.subscriptions.events import Told, tell


def pay(service: Service, customer_id: str, plan: str, until: date | datetime | None) -> None:
    """Take a plan as paid for: to the end of that day where the customer lives, or to that moment,
    or (None) until it is cancelled. ChangeRefused for what cannot be booked, NotFound for nobody.
    """
    now = service.now()
    booking, number = _look(service, customer_id)
    service.product.require_plan(plan)
    end = _end(until, booking.time_zone) if until else None
    if end and end <= now:
        raise ChangeRefused(f"{until} is over", remedy="name a day that comes, or today")
    _tell(service, customer_id, number, EventKind.PAID, now, plan=plan, until=end)


def cancel(service: Service, customer_id: str, *, at_once: bool) -> None:
    """Cancel, with the end of what was paid for or of the trial, or (`at_once`) of today where the
    customer lives. ChangeRefused where that is so already, or a trial; NotFound for nobody.
    """
    now = service.now()
    booking, number = _look(service, customer_id)
    if at_once and not booking.is_paid:
        raise ChangeRefused(
            f"{customer_id} has a trial, which ends as it would",
            remedy=f"`tenantry tenants state {customer_id} suspended` stops it now",
        )
    if booking.ends_at is not None and not (at_once and booking.ends_at > now):
        raise ChangeRefused(
            f"{customer_id} is cancelled already", remedy="see `tenantry tenants subscription`"
        )
    _tell(service, customer_id, number, EventKind.CANCELLED, now, until=now if at_once else None)


def resume(service: Service, customer_id: str) -> None:
    """Take a cancellation back. ChangeRefused where there is none, NotFound for nobody."""
    booking, number = _look(service, customer_id)
    if booking.cancelled_at is None:
        raise ChangeRefused(f"{customer_id} is not cancelled", remedy="there is nothing to resume")
    _tell(service, customer_id, number, EventKind.RESUMED, service.now())


def _look(service: Service, customer_id: str) -> tuple[Booking, int]:
    """The booking, and how often an operator decided about it."""
    decided = select(func.count()).where(
        BillingEvent.customer_id == customer_id, BillingEvent.actor == OPERATOR
    )
    with service.database.read() as session:
        customer = session.get(Customer, customer_id)
        if customer is None:
            raise no_customer(customer_id)
        booking = booking_of(session.get_one(Subscription, customer_id), customer)
        return booking, session.scalar(decided) or 0


def _end(until: date | datetime, time_zone: str) -> datetime:
    if until.year >= LATEST.year:
        raise ChangeRefused(f"{until} is too far away", remedy="leave it out: until cancelled")
    if not isinstance(until, datetime):
        noon = datetime.combine(until, time(12), ZoneInfo(time_zone))
        until = day_ends(noon, time_zone)
    return until.astimezone(UTC)


def _tell(
    service: Service,
    customer_id: str,
    number: int,
    kind: EventKind,
    now: datetime,
    *,
    plan: str | None = None,
    until: datetime | None = None,
) -> None:
    """Two operators who decide the same at once make one event of it: the customer is told once."""
    said = "/".join(str(each) for each in (number, kind, plan, until) if each is not None)
    own_id = f"{OPERATOR}:{customer_id}:{said}"
    event = Event(own_id, kind, now, plan, until, receipt=own_id)
    tell(service, Told(event, f"{OPERATOR}.{kind}", OPERATOR, customer_id=customer_id))

"""A subscription as operators see it: where it stands, what comes, what was told of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from tenantry.adapters.database.tables import BillingEvent, Customer, Subscription
from tenantry.core.subscription import Booking, EventKind, Moment, Stage, position, timeline
from tenantry.flows.rows import no_customer
from tenantry.flows.service import Service
from tenantry.flows.subscriptions.booking import booking_of


@dataclass(frozen=True)
class Heard:
    """An event, understood or not."""

    id: str
    kind: str
    type: str
    at: datetime
    received_at: datetime
    actor: str
    plan: str | None
    until: datetime | None


@dataclass(frozen=True)
class Shown:
    """A subscription; `ahead` comes if nobody does anything."""

    customer_id: str
    stage: Stage
    booking: Booking
    billing_customer: str | None
    ahead: tuple[Moment, ...]
    events: tuple[Heard, ...]

    def as_json(self) -> dict[str, Any]:
        """For programs; moments in ISO 8601."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    def as_lines(self) -> list[str]:
        """For people."""
        booked = [(name, value) for name, value in asdict(self.booking).items() if value]
        lines = [f"{self.customer_id}  {self.stage}"]
        lines += [f"  {name}: {_text(value)}" for name, value in booked]
        stages = [self.stage, *(each.stage for each in self.ahead)]
        lines += [_ahead(each, before) for each, before in zip(self.ahead, stages, strict=False)]
        lines += [_line(each) for each in self.events]
        return lines


def show_subscription(service: Service, customer_id: str) -> Shown:
    """The subscription as of now; NotFound for nobody."""
    now, product = service.now(), service.product
    told = select(BillingEvent).where(BillingEvent.customer_id == customer_id)
    with service.database.read() as session:
        customer = session.get(Customer, customer_id)
        if customer is None:
            raise no_customer(customer_id)
        subscription = session.get_one(Subscription, customer_id)
        booking = booking_of(subscription, customer)
        rows = session.scalars(told.order_by(BillingEvent.at, BillingEvent.id)).all()
        return Shown(
            customer_id=customer_id,
            stage=position(booking, product, now).moment.stage,
            booking=booking,
            billing_customer=subscription.billing_customer,
            ahead=tuple(each for each in timeline(booking, product) if each.at > now),
            events=tuple(_heard(row) for row in rows),
        )


def _heard(row: BillingEvent) -> Heard:
    names = [name for name in Heard.__dataclass_fields__ if name != "id"]
    return Heard(id=row.external_id, **{name: getattr(row, name) for name in names})


def _ahead(moment: Moment, before: Stage) -> str:
    verb = "stays" if moment.stage == before else "becomes"
    mail = f", mail {moment.mail}" if moment.mail else ""
    return f"{_text(moment.at)}  {verb} {moment.stage}, instance {moment.state}{mail}"


def _line(event: Heard) -> str:
    plan = f" {event.plan}" if event.plan else ""
    until = f" until {_text(event.until)}" if event.until else ""
    kind = f"other ({event.type})" if event.kind == EventKind.OTHER else event.kind
    return f"{_text(event.at)}  {kind}{plan}{until}, by {event.actor}: {event.id}"


def _text(value: object) -> str:
    return f"{value:%Y-%m-%d %H:%M} UTC" if isinstance(value, datetime) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value

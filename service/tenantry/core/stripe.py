"""What Stripe's events say of a subscription (R52).

Each is an object with `id`, `type`, `created` (unix seconds) and `data.object`, whose form depends
on the version of the API that an endpoint was made with: both places are looked at where a newer
one moved something. Source: https://docs.stripe.com/api/events/types, November 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import NamedTuple

from tenantry.core.billing import (
    Message,
    NotUnderstood,
    Plans,
    dig,
    moment,
    name_of,
    required_moment,
    required_word,
    subscription_of,
    word,
)
from tenantry.core.subscription import Event, EventKind


class Said(NamedTuple):
    """A part of what an event says."""

    kind: EventKind
    plan: str | None = None
    until: datetime | None = None
    at: datetime | None = None  # since when, where it was so before the event


_NOT_BOOKED = ("incomplete", "incomplete_expired", "unpaid", "canceled", "paused")

Reader = Callable[[object, Plans], Iterator[Said]]


def read_stripe(message: object, plans: Plans) -> Message:
    """What one of Stripe's events says. NotUnderstood for types that say nothing of a subscription,
    and for what is about something else than the product's plans.
    """
    kind = dig(message, "type")
    if not isinstance(kind, str) or kind not in _READERS:
        raise NotUnderstood("its type says nothing of a subscription")
    own_id, at = required_word(message, "id"), required_moment(message, "created")
    said = _READERS[kind](dig(message, "data"), plans)
    thing = dig(message, "data", "object")
    make = partial(Event, subscription=_subscription(kind, thing), receipt=_receipt(thing))
    events = tuple(
        make(f"{own_id}/{each.kind}", each.kind, min(each.at or at, at), each.plan, each.until)
        for each in said
    )
    is_checkout = kind == "checkout.session.completed"
    return Message(
        id=own_id,
        type=kind,
        at=at,
        events=events,
        customer_id=required_word(thing, "client_reference_id") if is_checkout else None,
        billing_customer=_customer(thing),
    )


def _customer(thing: object) -> str:
    found = word(name_of(dig(thing, "customer")))
    if found is None:
        raise NotUnderstood("it names no customer")
    return found


def _subscription(kind: str, thing: object) -> str | None:
    """Stripe's id of the subscription that an event is of."""
    is_itself = kind.startswith("customer.subscription.")
    return required_word(thing, "id") if is_itself else subscription_of(thing)


def _receipt(thing: object) -> str | None:
    """The invoice, where something was paid for it: who owes nothing is not thanked."""
    amount = dig(thing, "amount_paid")
    return word(dig(thing, "id")) if isinstance(amount, int) and amount > 0 else None


# By type


def _checkout(data: object, plans: Plans) -> Iterator[Said]:
    thing = dig(data, "object")
    is_paid = dig(thing, "payment_status") == "paid"
    yield Said(EventKind.LINKED, _named(thing, plans) if is_paid else None)


def _paid(data: object, plans: Plans) -> Iterator[Said]:
    """Its plan is that of when it was made: it may have been open while the plan was changed."""
    invoice, lines = _invoice(data), _charging(data)
    ends = [moment(dig(line, "period", "end")) for line in _of_plan(lines, plans)]
    until = max(filter(None, ends), default=None)
    if until is None:
        raise NotUnderstood("it says of no time that was paid for")
    if plan := _billed(invoice, lines, plans):
        yield Said(EventKind.PLAN, plan, at=moment(dig(invoice, "created")))
    yield Said(EventKind.PAID, until=until)


def _failed(data: object, plans: Plans) -> Iterator[Said]:
    _billed(_invoice(data), _charging(data), plans)
    yield Said(EventKind.PAYMENT_FAILED)


def _invoice(data: object) -> object:
    """Of a subscription: one that somebody wrote for something else says nothing of what runs."""
    invoice = dig(data, "object")
    if subscription_of(invoice) is None:
        raise NotUnderstood("it is of no subscription")
    return invoice


def _charging(data: object) -> list[object]:
    """An invoice's lines but those that give back what was not used of the plan before."""
    lines = _list(dig(data, "object", "lines", "data"))
    return [line for line in lines if not _is_negative(dig(line, "amount"))]


def _updated(data: object, plans: Plans) -> Iterator[Said]:
    thing, before = dig(data, "object"), dig(data, "previous_attributes")
    if dig(thing, "status") in _NOT_BOOKED:
        raise NotUnderstood("its subscription is not paid for, or over")
    yield Said(EventKind.PLAN, _booked(thing, plans))
    ends, over = _period_end(thing, plans), moment(dig(thing, "cancel_at"))
    if _is_ending(thing):
        if before is None or _names_end(before):
            yield Said(EventKind.CANCELLED, until=over or ends)
    elif _is_ending(before):
        yield Said(EventKind.RESUMED)
    if ends and _is_settled(thing, before):  # to no later than its end, which it takes not back
        yield Said(EventKind.PAID, until=min(ends, over or ends))


def _deleted(data: object, plans: Plans) -> Iterator[Said]:
    thing = dig(data, "object")
    _booked(thing, plans)
    yield Said(
        EventKind.CANCELLED, until=moment(dig(thing, "ended_at")) or _period_end(thing, plans)
    )


_READERS: Mapping[str, Reader] = {
    "checkout.session.completed": _checkout,
    "invoice.paid": _paid,
    "invoice.payment_succeeded": _paid,
    "invoice.payment_failed": _failed,
    "customer.subscription.updated": _updated,
    "customer.subscription.deleted": _deleted,
}


# When it ends


def _is_ending(thing: object) -> bool:
    ends_then = isinstance(dig(thing, "cancel_at"), int)
    return ends_then or dig(thing, "cancel_at_period_end") is True


def _names_end(before: object) -> bool:
    return isinstance(before, dict) and bool({"cancel_at", "cancel_at_period_end"} & before.keys())


def _is_settled(thing: object, before: object) -> bool:
    """Whether nothing is owed any more, also where an invoice was waived and so none is paid."""
    return dig(before, "status") in ("past_due", "unpaid") and dig(thing, "status") == "active"


def _period_end(thing: object, plans: Plans) -> datetime | None:
    """In newer versions of the API each item has its own."""
    items = _of_plan(_list(dig(thing, "items", "data")), plans)
    ends = [dig(thing, "current_period_end"), *(dig(item, "current_period_end") for item in items)]
    return max(filter(None, map(moment, ends)), default=None)


# Which plan


def _booked(thing: object, plans: Plans) -> str:
    """The plan of a subscription. Stripe copies what a checkout named once, and a change of plan
    leaves it there, so the price goes before it.
    """
    items = _list(dig(thing, "items", "data"))
    found = _only({p for each in items if (p := _priced(each, plans))}) or _named(thing, plans)
    if found is None:
        raise NotUnderstood("its price is of no plan")
    return found


def _billed(invoice: object, lines: list[object], plans: Plans) -> str | None:
    """The plan of an invoice; None where it bills several, as in the middle of a change."""
    if priced := {plan for line in lines if (plan := _priced(line, plans))}:
        return _only(priced)
    places = (invoice, dig(invoice, "subscription_details"))
    newer = dig(invoice, "parent", "subscription_details")
    for place in (*places, newer, *lines):
        if plan := _named(place, plans):
            return plan
    raise NotUnderstood("its prices are of no plan")


def _named(thing: object, plans: Plans) -> str | None:
    plan = word(dig(thing, "metadata", "plan"))
    if plan is not None and plan not in plans:
        raise NotUnderstood("the product has no such plan")
    return plan


def _priced(line: object, plans: Plans) -> str | None:
    price = dig(line, "price")
    newer = dig(line, "pricing", "price_details", "price")
    names = {word(each) for each in (name_of(price), dig(price, "lookup_key"), name_of(newer))}
    return next((plan for plan, each in plans.items() if names & set(each.prices)), None)


def _of_plan(lines: list[object], plans: Plans) -> list[object]:
    """Those whose price is a plan's, beside which others buy no time; all where no price is."""
    return [line for line in lines if _priced(line, plans)] or lines


def _only(plans: set[str]) -> str | None:
    return next(iter(plans)) if len(plans) == 1 else None


def _is_negative(amount: object) -> bool:
    return isinstance(amount, int) and amount < 0


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []

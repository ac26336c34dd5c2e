"""What a customer has booked, and what follows from it as time passes: pure (R51, R52).

`add_up` makes a booking of what was told about it, in whichever order that arrived. `timeline` says
all that will happen to a booking if nobody does anything: a list of moments. Where it stands now is
the last moment that has come; what is due next is the one after it. So a worker that slept for a
week does one thing, the right one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from tenantry.core.days import day_ends, move_days
from tenantry.core.mail import MailKind
from tenantry.core.model import State
from tenantry.core.product import Product

_INSTANT = timedelta(microseconds=1)  # before an end, which is exclusive


class Stage(StrEnum):
    """Where a subscription stands."""

    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    READ_ONLY = "read_only"
    SUSPENDED = "suspended"
    CANCELLED = "cancelled"


class EventKind(StrEnum):
    """What may be told of a subscription."""

    PAID = "paid"
    PAYMENT_FAILED = "payment_failed"
    PLAN = "plan"
    CANCELLED = "cancelled"
    RESUMED = "resumed"  # the cancellation was taken back
    LINKED = "linked"  # a payment provider's customer is ours
    OTHER = "other"  # not understood; kept


# What happens in one second, as far as a source says, happens in this order.
_ORDER = (
    EventKind.LINKED,
    EventKind.PAYMENT_FAILED,
    EventKind.CANCELLED,
    EventKind.RESUMED,
    EventKind.PLAN,
    EventKind.PAID,
    EventKind.OTHER,
)
# What says nothing of a booking that somebody else pays for by now, or that nobody pays for yet.
_OF_ITS_PAYER = (EventKind.PAYMENT_FAILED, EventKind.CANCELLED, EventKind.RESUMED)


@dataclass(frozen=True)
class Event:
    """Something that was told of a subscription. `until` is exclusive: of PAID the end of what was
    paid for (None: until it is cancelled), of CANCELLED the end (None: of what was paid for).
    `subscription` is what the payment provider calls its own; operators and customers have none.
    `receipt` names what the customer is thanked for, of which there may be several events.
    """

    id: str
    kind: EventKind
    at: datetime
    plan: str | None = None
    until: datetime | None = None
    subscription: str | None = None
    receipt: str | None = None

    @property
    def booked(self) -> str | None:
        """The plan from then on, where it changes with that: not with a payment that failed,
        whatever it was for.
        """
        return None if self.kind == EventKind.PAYMENT_FAILED else self.plan


@dataclass(frozen=True)
class Booking:
    """A subscription as it stands; moments are UTC and ends exclusive."""

    started_at: datetime
    time_zone: str
    trial_ends_at: datetime
    plan: str
    paid_since: datetime | None = None
    paid_at: datetime | None = None  # last
    paid_until: datetime | None = None  # None: until it is cancelled
    past_due_since: datetime | None = None
    cancelled_at: datetime | None = None
    ends_at: datetime | None = None  # of what was cancelled

    @property
    def is_paid(self) -> bool:
        """Whether it was ever paid for."""
        return self.paid_since is not None


@dataclass(frozen=True)
class Moment:
    """From here on it stands like that. `mail` is due then, once for its `period`."""

    at: datetime
    stage: Stage
    state: State
    mail: MailKind | None = None
    period: str = ""


@dataclass(frozen=True)
class Position:
    """Where a booking stands, and when that changes by time alone (None: never)."""

    moment: Moment
    next_at: datetime | None


def add_up(trial: Booking, events: Iterable[Event]) -> Booking:
    """The booking that a trial became by these events; their order does not matter."""
    booking, payer, plan = trial, None, None
    for event in _counting(sorted(events, key=_place)):
        if _is_moot(booking, event):
            continue
        if event.subscription not in (None, payer) and _is_of_payer(booking, event):
            plan = event.booked or plan  # from when it pays
            continue
        if event.kind == EventKind.PAID and event.subscription != payer:
            booking = replace(_anew(booking), plan=plan or booking.plan)
            payer, plan = event.subscription, None
        elif event.kind == EventKind.PAID and _takes_back(booking, event):
            booking = _anew(booking)
        booking = _add(booking, event)
    return booking


def _place(event: Event) -> tuple[datetime, int, str]:
    return event.at, _ORDER.index(event.kind), event.id


def _counting(events: Sequence[Event]) -> Iterator[Event]:
    """All but those of the provider's subscriptions in whose place another one was booked: who
    books again ends the old one some day, and means the new one to go on. Booked last is what was
    paid for the first time last; a try whose payment failed replaces nothing. `events` are in
    their order.
    """
    named = [each for each in events if each.subscription is not None]
    paid = [each for each in named if each.kind == EventKind.PAID]
    booked = dict.fromkeys(each.subscription for each in paid or named)
    last = next(reversed(booked), None)
    return (each for each in events if each.subscription in (None, last))


def _is_moot(booking: Booking, event: Event) -> bool:
    """Whether it is told of what is over: a cancellation once more, or a payment for time that has
    passed, which brings back nobody who has cancelled.
    """
    if event.kind == EventKind.CANCELLED:
        return booking.ends_at is not None and booking.ends_at <= event.at
    is_of_the_past = event.until is not None and event.until <= event.at
    return event.kind == EventKind.PAID and is_of_the_past and booking.cancelled_at is not None


def _is_of_payer(booking: Booking, event: Event) -> bool:
    """Whether it counts only where its subscription is what the booking is paid by."""
    return event.kind in _OF_ITS_PAYER or (event.kind == EventKind.PLAN and booking.is_paid)


def _takes_back(booking: Booking, event: Event) -> bool:
    """Whether a payment takes a cancellation back: one for time before the end is still owed."""
    ends, until = booking.ends_at, event.until
    return ends is not None and not (booking.is_paid and until is not None and until <= ends)


def _anew(booking: Booking) -> Booking:
    """What is over is not carried on."""
    return replace(booking, paid_until=None, cancelled_at=None, ends_at=None)


def _add(booking: Booking, event: Event) -> Booking:
    if event.booked is not None:
        booking = replace(booking, plan=event.booked)
    if event.kind == EventKind.PAID:
        return _pay(booking, event)
    if event.kind == EventKind.PAYMENT_FAILED:
        return replace(booking, past_due_since=booking.past_due_since or event.at)
    if event.kind == EventKind.CANCELLED:
        since = booking.cancelled_at or event.at
        return replace(booking, cancelled_at=since, ends_at=_end(booking, event))
    if event.kind == EventKind.RESUMED:
        return replace(booking, cancelled_at=None, ends_at=None)
    return booking


def _pay(booking: Booking, event: Event) -> Booking:
    until = event.until
    if until and booking.paid_until:
        until = max(until, booking.paid_until)
    return replace(
        booking,
        paid_since=booking.paid_since or event.at,
        paid_at=event.at,
        paid_until=until,
        past_due_since=None,
    )


def _end(booking: Booking, event: Event) -> datetime:
    """When what was cancelled ends: with the customer's day on which, as the source says or by what
    was paid, it is over; not before today's end. A trial ends as it would.
    """
    if not booking.is_paid:
        return booking.trial_ends_at
    over = event.until or booking.paid_until or event.at
    return max(_day_ends(event.at, booking), _day_ends(over - _INSTANT, booking))


def _day_ends(at: datetime, booking: Booking, days: int = 0) -> datetime:
    """The end of the customer's day on which `at` is, or of the one so many days later."""
    return day_ends(at, booking.time_zone, after=days)


def position(booking: Booking, product: Product, now: datetime) -> Position:
    """Where it stands at `now`."""
    moments = timeline(booking, product)
    come = [moment for moment in moments if moment.at <= now] or [moments[0]]
    ahead = [moment.at for moment in moments if moment.at > now]
    return Position(come[-1], min(ahead, default=None))


def timeline(booking: Booking, product: Product) -> list[Moment]:
    """All moments of a booking if nobody does anything, in their order."""
    if booking.cancelled_at is not None:
        return _cancelled(booking, product)
    moments = _paid(booking, product) if booking.is_paid else _trial(booking, product)
    return sorted(moments, key=lambda moment: moment.at)


def _trial(booking: Booking, product: Product) -> Iterator[Moment]:
    rules = product.trial
    yield Moment(booking.started_at, Stage.TRIALING, State.ACTIVE)
    for day in rules.reminders:
        at = move_days(booking.started_at, day, booking.time_zone)
        if day < rules.days and at < booking.trial_ends_at:
            yield Moment(at, Stage.TRIALING, State.ACTIVE, MailKind.TRIAL_ENDING, f"day-{day}")
    ends = booking.trial_ends_at
    yield from _wind_down(booking, ends, rules.grace_days, MailKind.TRIAL_ENDED, "trial")


def _paid(booking: Booking, product: Product) -> Iterator[Moment]:
    since, until, rules = booking.paid_since, booking.paid_until, product.paid
    assert since is not None  # noqa: S101 - by its caller
    yield Moment(since, Stage.ACTIVE, State.ACTIVE)
    slack = timedelta(days=rules.slack_days)
    late = [at for at in (booking.past_due_since, until + slack if until else None) if at]
    if not late:
        return
    last = booking.paid_at or since
    due, period = max(last, min(late)), _period(last)
    yield Moment(due, Stage.PAST_DUE, State.ACTIVE, MailKind.PAYMENT_FAILED, period)
    ends = _day_ends(max(due, until or due), booking, rules.past_due_days)
    yield from _wind_down(booking, ends, rules.read_only_days, MailKind.READ_ONLY, period)


def _cancelled(booking: Booking, product: Product) -> list[Moment]:
    """It stays cancelled, and runs to its end; what has ended before goes on as it would have."""
    at, ends = booking.cancelled_at, booking.ends_at
    assert at is not None  # noqa: S101 - by its caller
    assert ends is not None  # noqa: S101 - comes with it
    otherwise = replace(booking, cancelled_at=None, ends_at=None)
    down: Iterable[Moment] = timeline(otherwise, product)
    state = position(otherwise, product, at).moment.state
    period = _period(at)
    if state == State.ACTIVE:
        days = product.paid.read_only_days if booking.is_paid else product.trial.grace_days
        down = _wind_down(booking, ends, days, MailKind.READ_ONLY, period)
    first = Moment(at, Stage.CANCELLED, state, MailKind.CANCELLED, period)
    after = (replace(moment, stage=Stage.CANCELLED) for moment in down if moment.at > at)
    return [first, *after]


def _wind_down(
    booking: Booking, ends: datetime, days: int, mail: MailKind, period: str
) -> Iterator[Moment]:
    """Read-only for so many of the customer's days, then suspended; each is announced."""
    last_day = ends - _INSTANT
    if days > 0:
        yield Moment(ends, Stage.READ_ONLY, State.READ_ONLY, mail, period)
    if days > 1:
        last = _day_ends(last_day, booking, days - 1)
        yield Moment(last, Stage.READ_ONLY, State.READ_ONLY, MailKind.READ_ONLY_OVER, period)
    over = _day_ends(last_day, booking, days)
    yield Moment(over, Stage.SUSPENDED, State.SUSPENDED, MailKind.SUSPENDED, period)


def _period(at: datetime) -> str:
    """What tells a spell from others of its kind: when that began which it ends."""
    return f"{at:%Y-%m-%dT%H:%M:%S}"

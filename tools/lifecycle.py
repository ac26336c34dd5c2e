"""Writes docs/lifecycle.md: what comes of made-up bookings of the sample product."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from tenantry.adapters.product_folder import read_product_folder
from tenantry.core.days import day_ends
from tenantry.core.model import State
from tenantry.core.product import Product
from tenantry.core.subscription import (
    Booking,
    Event,
    EventKind,
    Moment,
    Stage,
    add_up,
    timeline,
)
from tenantry.core.terms import license_term
from tools.tables import as_code, table
from tools.work import ROOT

ZONE = "Europe/Zurich"
BEGAN = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)  # half past nine, there
COLUMNS = ("from", "stage", "instance", "mail", "license")
INSTANCE = {
    State.ACTIVE: "runs",
    State.READ_ONLY: "refuses to write",
    State.SUSPENDED: "does not run, data is kept",
}

INTRO = """
# The life of a subscription

A customer signs up, tries, pays or does not, cancels, comes back. What follows from that is one
list of moments, made from what was told (by the customer, an operator or the payment provider) and
from the days in the product file. The tables below are that list for a customer of the sample
product who lives in Zurich and signed up on Monday, 23 November 2026, at 9:30. Times are theirs.

**Days** are the customer's: a trial or a cancellation ends at midnight where the customer lives, in
summer and winter, on short days and leap days. The day of the signup is day 0. Reminders come at
the hour of the signup. Who moves to another time zone keeps the last day.

**Mail** is due once for each moment. A worker that was down for a week does what the last moment
says, and sends that moment's mail; those in between are not sent. A clock that was set back sends
nothing twice. A mail that waits to be sent when its moment is over is dropped.

**What is told** may arrive late, twice or in another order than it happened; the subscription is
the sum of it, in the order in which it happened. A payment makes everything run again, at once and
in one commit, also from read-only or suspended.

**Data** is kept as long as a tenant is suspended: its volumes stay, only what runs is gone.

**Read-only** holds for people: devices stay connected, and what they send is stored. Who may ask
the sample product's Grafana can still write measurements, by a query
([decision 13](decisions/0013-traffic.md#price)).

**An operator's decision** stands. A tenant that an operator suspended is not woken by a payment;
that takes `tenantry tenants state`. One that an operator woke runs until the next moment that says
otherwise, or for good where there is none; its license is renewed as if it were paid for, and stays
one of a trial where nothing was paid. A change that a reviewer declined is not asked for
again. Where changes of state wait for a review, so do those below, and the mail that says an
instance is suspended is sent once main shows it.

"""
PAID = """
One month is paid on 28 November, and nothing is told after that. A payment is often told some
hours late, so two days (`slack_days`) pass before anything is said; one that is told to have failed
is past due at once.
""".strip()
CANCELLED = """
The same, cancelled on 1 December. It runs to the end of the day on which what was paid for is over,
or of the day of the cancellation, whichever is later. Until then the customer can take it back, and
all is as before. A payment for a longer time brings it back, before its end and after; one for time
before the end was owed, and leaves it cancelled.
""".strip()
TRIAL_CANCELLED = "It ends on its last day, as it would. No reminders are sent."
CANCELLED_LATE = """
What has ended does not begin again by a cancellation: it goes on as it would have.
""".strip()
PAID_LICENSE = """
## Licenses

A trial has one license, which ends with it; its grace is the read-only days. Whoever pays has a
license of {days} days, whatever the period that is paid for, and gets the next one {first} to
{last} days before its end: the same day for a customer each time, and other days for others. So
a worker may be down for {spare} days, and no license ends. Nothing is renewed for a tenant that is
to be read-only or suspended; its next payment brings a license with it.

A license that waits for a review is looked at every day: if it was declined or withdrawn, another
is asked for, since the one that runs would lapse.
"""


def lifecycle_page() -> str:
    """docs/lifecycle.md."""
    product = read_product_folder(ROOT / "tenant_templates").product
    parts = [INTRO.lstrip()]
    for title, text, booking in _lives():
        parts += [f"\n## {title}\n\n{text}\n", table(COLUMNS, _rows(booking, product))]
    first, last = product.paid.renew_days, (product.paid.renew_days + 1) // 2
    days = product.paid.license_days
    parts.append(PAID_LICENSE.format(days=days, first=first, last=last, spare=last - 1))
    return "".join(parts)


def _lives() -> Iterator[tuple[str, str, Booking]]:
    paid = Event("1", EventKind.PAID, _day(5), until=_day(35))
    cancelled = Event("2", EventKind.CANCELLED, _day(8))
    late = Event("3", EventKind.CANCELLED, _day(16))
    yield "A trial", "Nobody pays.", _booking()
    yield "What is paid for", PAID, _booking(paid)
    yield "Cancelled", CANCELLED, _booking(paid, cancelled)
    yield "A trial that is cancelled", TRIAL_CANCELLED, _booking(cancelled)
    yield "Cancelled when it was over", CANCELLED_LATE, _booking(late)


def _day(number: int) -> datetime:
    return BEGAN + timedelta(days=number)


def _booking(*events: Event) -> Booking:
    return add_up(Booking(BEGAN, ZONE, day_ends(BEGAN, ZONE, after=14), "starter"), events)


def _rows(booking: Booking, product: Product) -> Iterator[Sequence[str]]:
    for moment in timeline(booking, product):
        mail = as_code(moment.mail) if moment.mail else "–"
        instance = INSTANCE[moment.state]
        license_ = _license(booking, product, moment)
        yield _when(moment.at), as_code(moment.stage), instance, mail, license_


def _when(at: datetime) -> str:
    local = at.astimezone(ZoneInfo(ZONE))
    return f"{local:%a} {local.day} {local:%b %Y}, {local:%H:%M}"


def _license(booking: Booking, product: Product, moment: Moment) -> str:
    if moment.state == State.SUSPENDED:
        return "–"
    if booking.is_paid:
        return "renewed" if moment.state == State.ACTIVE else "as it is"
    dates = license_term(booking, product, moment.at).dates
    if moment.at >= dates.expires_at:
        return f"in grace, to {_when(dates.grace_until)}"
    warns = moment.stage == Stage.TRIALING and moment.at >= dates.warn_at
    return "valid, warns" if warns else f"valid, to {_when(dates.expires_at)}"

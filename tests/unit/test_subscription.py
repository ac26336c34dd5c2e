"""A subscription through time: what was told of it, in any order, and what follows (R51, R52)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.adapters.product_folder import read_product_folder
from tenantry.core.days import day_ends
from tenantry.core.mail import MailKind
from tenantry.core.model import State
from tenantry.core.product import Product
from tenantry.core.subscription import (
    Booking,
    Event,
    EventKind,
    Moment,
    Stage,
    add_up,
    position,
    timeline,
)
from tenantry.core.terms import license_dates, license_term, renews_at
from tests.lives.oracle import Fact, Life
from tests.lives.stories import ZONES
from tools.work import ROOT

BEGAN = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
DAY, SECOND, INSTANT = timedelta(days=1), timedelta(seconds=1), timedelta(microseconds=1)
Line = tuple[str, Stage, State, MailKind | None]


@cache
def product() -> Product:
    return read_product_folder(ROOT / "tenant_templates").product


def trial(began: datetime = BEGAN, zone: str = "UTC") -> Booking:
    return Booking(began, zone, day_ends(began, zone, after=14), "starter")


def event(kind: EventKind, days: float, until: float | None = None, name: str = "") -> Event:
    end = None if until is None else BEGAN + until * DAY
    return Event(name or f"{kind}-{days}", kind, BEGAN + days * DAY, None, end)


def lines(moments: list[Moment], zone: str = "UTC") -> list[Line]:
    return [
        (f"{m.at.astimezone(ZoneInfo(zone)):%m-%d %H:%M}", m.stage, m.state, m.mail)
        for m in moments
    ]


def stages(*events: Event) -> list[Line]:
    return lines(timeline(add_up(trial(), events), product()))


def wind_down(*dates: str, stage: Stage | None = None, mail: MailKind) -> list[Line]:
    first, last, over = (f"{date} 00:00" for date in dates)
    reading, ended = stage or Stage.READ_ONLY, stage or Stage.SUSPENDED
    return [
        (first, reading, State.READ_ONLY, mail),
        (last, reading, State.READ_ONLY, MailKind.READ_ONLY_OVER),
        (over, ended, State.SUSPENDED, MailKind.SUSPENDED),
    ]


# --- Timelines ---


@pytest.mark.parametrize(
    ("began", "zone", "dates"),
    [
        ("2026-11-23T09:30+00:00", "UTC", "11-23 11-30 12-05 12-08 12-10 12-11"),
        # their day 0 is the 24th there, and the 22nd here
        ("2026-11-23T10:30+00:00", "Pacific/Kiritimati", "11-24 12-01 12-06 12-09 12-11 12-12"),
        ("2026-11-23T10:30+00:00", "Pacific/Niue", "11-22 11-29 12-04 12-07 12-09 12-10"),
        # into and out of summer time: the same hour of the day, and midnight
        ("2026-03-20T08:30+00:00", "Europe/Zurich", "03-20 03-27 04-01 04-04 04-06 04-07"),
        ("2026-10-20T07:30+00:00", "Europe/Zurich", "10-20 10-27 11-01 11-04 11-06 11-07"),
        ("2028-02-20T09:30+00:00", "UTC", "02-20 02-27 03-03 03-06 03-08 03-09"),
    ],
)
def test_a_trial_runs_out_where_the_customer_lives(began: str, zone: str, dates: str) -> None:
    since = datetime.fromisoformat(began).astimezone(UTC)
    day = dates.split()
    hour = f"{since.astimezone(ZoneInfo(zone)):%H:%M}"
    moments = timeline(trial(since, zone), product())
    assert lines(moments, zone) == [
        (f"{day[0]} {hour}", Stage.TRIALING, State.ACTIVE, None),
        (f"{day[1]} {hour}", Stage.TRIALING, State.ACTIVE, MailKind.TRIAL_ENDING),
        (f"{day[2]} {hour}", Stage.TRIALING, State.ACTIVE, MailKind.TRIAL_ENDING),
        *wind_down(*day[3:], mail=MailKind.TRIAL_ENDED),
    ]


def test_days_after_one_without_midnight_end_at_midnight() -> None:
    # Cairo's 24th of April begins at 01:00, and what ends with it ends three whole days later
    moments = timeline(trial(datetime(2026, 4, 9, 12, tzinfo=UTC), "Africa/Cairo"), product())
    assert [line[0] for line in lines(moments, "Africa/Cairo")[-3:]] == [
        "04-24 01:00", "04-26 00:00", "04-27 00:00",
    ]  # fmt: skip


def test_what_is_paid_for_runs_on_after_it_and_then_out() -> None:
    paid = event(EventKind.PAID, 5, until=35)
    assert stages(paid) == [
        ("11-28 09:30", Stage.ACTIVE, State.ACTIVE, None),
        ("12-30 09:30", Stage.PAST_DUE, State.ACTIVE, MailKind.PAYMENT_FAILED),
        *wind_down("01-14", "01-16", "01-17", mail=MailKind.READ_ONLY),
    ]
    failed = event(EventKind.PAYMENT_FAILED, 35)
    assert stages(paid, failed)[1][0] == "12-28 09:30"  # no slack where it is known
    assert stages(paid, failed, event(EventKind.PAID, 36, until=65))[1][0] == "01-29 09:30"
    assert len(stages(event(EventKind.PAID, 5))) == 1  # until it is cancelled


def test_an_invoice_with_terms_is_late_as_late_as_the_product_says() -> None:
    booking = add_up(trial(), [event(EventKind.PAID, 5, until=35)])
    rules = product()
    slow = rules.model_copy(update={"paid": rules.paid.model_copy(update={"slack_days": 30})})
    assert lines(timeline(booking, slow))[1:] == [
        ("01-27 09:30", Stage.PAST_DUE, State.ACTIVE, MailKind.PAYMENT_FAILED),
        *wind_down("02-11", "02-13", "02-14", mail=MailKind.READ_ONLY),
    ]


def test_a_trial_that_is_cancelled_ends_as_it_would() -> None:
    ends = wind_down("12-08", "12-10", "12-11", stage=Stage.CANCELLED, mail=MailKind.READ_ONLY)
    cancelled = event(EventKind.CANCELLED, 2)
    first = ("11-25 09:30", Stage.CANCELLED, State.ACTIVE, MailKind.CANCELLED)
    assert stages(cancelled) == [first, *ends]
    assert stages(cancelled, event(EventKind.RESUMED, 3)) == stages()
    # once it is over, it goes on as it would have: nothing comes twice, nobody comes back
    assert stages(event(EventKind.CANCELLED, 15.9)) == [
        ("12-09 07:06", Stage.CANCELLED, State.READ_ONLY, MailKind.CANCELLED), *ends[1:],
    ]  # fmt: skip
    assert [line[2] for line in stages(event(EventKind.CANCELLED, 30))] == [State.SUSPENDED]


@pytest.mark.parametrize(
    ("days", "until", "ends"),
    [
        (10, None, "12-29"),  # with the day on which the paid time is over
        (10, 10, "12-04"),  # at once: today is left
        (40, None, "01-03"),  # past due: today, and not back in December
        (40, 20, "01-03"),
    ],
)
def test_what_is_cancelled_ends_with_a_day(days: int, until: float | None, ends: str) -> None:
    paid = event(EventKind.PAID, 5, until=35)
    _, first, *_ = stages(paid, event(EventKind.CANCELLED, days, until))
    assert first == (f"{ends} 00:00", Stage.CANCELLED, State.READ_ONLY, MailKind.READ_ONLY)


def test_a_cancellation_that_is_told_twice_is_one() -> None:
    paid = event(EventKind.PAID, 5, until=35)
    once = stages(paid, event(EventKind.CANCELLED, 10))
    twice = stages(paid, event(EventKind.CANCELLED, 10), event(EventKind.CANCELLED, 35, until=35))
    assert twice == once


@pytest.mark.parametrize("days", [10, 40, 52, 60])
def test_what_is_resumed_stands_as_if_nothing_had_been(days: int) -> None:
    paid = event(EventKind.PAID, 5, until=35)
    both = event(EventKind.CANCELLED, days), event(EventKind.RESUMED, days + 1)
    assert stages(paid, *both) == stages(paid)


# --- Properties ---

kinds = st.sampled_from([each for each in EventKind if each != EventKind.OTHER])
hours = st.integers(0, 24 * 90)


@st.composite
def make_events(draw: st.DrawFn) -> list[Event]:
    """At full hours, so that several fall together."""
    return [
        event(draw(kinds), draw(hours) / 24, draw(st.none() | hours.map(lambda n: n / 24)), f"{n}")
        for n in range(draw(st.integers(0, 8)))
    ]


bookings = st.builds(
    lambda events, zone: add_up(trial(BEGAN, zone), events), make_events(), st.sampled_from(ZONES)
)
moments_in_time = hours.map(lambda n: BEGAN + n * DAY / 12)


@settings(deadline=None)
@given(make_events(), st.randoms())
def test_order_and_repeats_do_not_matter(events: list[Event], chance: object) -> None:
    shuffled = [*events, *events[:3]]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert add_up(trial(), shuffled) == add_up(trial(), events)


@settings(deadline=None)
@given(bookings)
def test_by_time_alone_nothing_gets_better_and_no_mail_repeats(booking: Booking) -> None:
    moments = timeline(booking, product())
    ranks = [list(Stage).index(each.stage) for each in moments]
    states = [(State.ACTIVE, State.READ_ONLY, State.SUSPENDED).index(m.state) for m in moments]
    assert (ranks, states) == (sorted(ranks), sorted(states))
    assert all(one.at <= other.at for one, other in pairwise(moments))
    mails = [(each.mail, each.period) for each in moments if each.mail]
    assert len(set(mails)) == len(mails)
    assert all(len(each.period) <= 32 for each in moments)


@settings(deadline=None)
@given(bookings, moments_in_time)
def test_who_slept_finds_the_last_moment_and_the_next(booking: Booking, now: datetime) -> None:
    stands = position(booking, product(), now)
    moments = timeline(booking, product())
    come = [each for each in moments if each.at <= now]
    assert stands.moment == (come or moments)[-1 if come else 0]
    if stands.next_at is not None:
        assert stands.next_at > now
        before = position(booking, product(), stands.next_at - INSTANT)
        assert before.moment == stands.moment
        if come:  # else it stands already as from the first moment on
            assert position(booking, product(), stands.next_at).moment != stands.moment


@settings(deadline=None)
@given(make_events(), moments_in_time)
def test_days_counted_otherwise_say_the_same(events: list[Event], now: datetime) -> None:
    now = max([now, *(each.at for each in events)])  # nobody tells of what comes
    for zone in ("UTC", "Europe/Zurich", "Pacific/Kiritimati"):
        told = [each for each in events if each.kind != EventKind.LINKED]
        booking = add_up(trial(BEGAN, zone), told)
        facts = [Fact(each.at, each.kind.value, each.id, None, each.until) for each in told]
        stand = Life(BEGAN, zone).stands(facts, now)
        moment = position(booking, product(), now).moment
        assert (moment.state, moment.mail or "") == (stand.state, stand.mail)


def test_each_spell_has_mail_of_its_own() -> None:
    paid, failed = event(EventKind.PAID, 5, until=35), event(EventKind.PAYMENT_FAILED, 10)
    again = event(EventKind.PAID, 11, until=35), event(EventKind.PAYMENT_FAILED, 12)
    first = timeline(add_up(trial(), [paid, failed]), product())
    second = timeline(add_up(trial(), [paid, failed, *again]), product())
    periods = [{each.period for each in spell if each.mail} for spell in (first, second)]
    assert periods[0].isdisjoint(periods[1])


# --- Licenses ---


@settings(max_examples=50, deadline=None)
@given(bookings, moments_in_time, st.text(max_size=8))
def test_a_license_holds_while_the_tenant_runs(booking: Booking, now: datetime, name: str) -> None:
    dates = license_term(booking, product(), now).dates
    if not booking.is_paid:
        stands = position(booking, product(), now).moment
        assert stands.state != State.ACTIVE or now < dates.expires_at
        return
    renewal = renews_at(dates.expires_at, product(), name)
    assert dates.expires_at >= now + 30 * DAY
    assert now + 30 * DAY <= renewal <= dates.expires_at - 10 * DAY
    assert dates.warn_at < dates.expires_at < dates.grace_until


def test_a_trial_that_somebody_had_run_on_has_a_license_like_one_that_pays() -> None:
    later = BEGAN + 30 * DAY
    term = license_term(trial(), product(), later, runs=True)
    paid = license_term(replace(trial(), paid_since=BEGAN), product(), later)
    assert (term.kind, term.dates) == ("trial", paid.dates)
    for now, runs in ((BEGAN, True), (later, False)):
        ends = license_term(trial(), product(), now, runs=runs).dates.expires_at
        assert ends == trial().trial_ends_at


def test_licenses_of_many_are_renewed_on_many_days() -> None:
    ends = BEGAN + 60 * DAY
    days = {(ends - renews_at(ends, product(), f"cust-{n}")).days for n in range(200)}
    assert days == set(range(10, 20))


def test_warning_and_grace_count_calendar_days() -> None:
    expires = datetime.fromisoformat("2026-04-04T00:00:00+02:00")
    dates = license_dates(expires, warn_days=7, grace_days=3, time_zone="Europe/Zurich")
    assert dates.expires_at == expires
    assert dates.warn_at == datetime.fromisoformat("2026-03-28T00:00:00+01:00")  # winter time
    assert dates.grace_until == datetime.fromisoformat("2026-04-07T00:00:00+02:00")
    assert {d.tzinfo for d in (dates.expires_at, dates.warn_at, dates.grace_until)} == {UTC}


def test_a_license_ends_at_midnight_in_summer_and_winter() -> None:
    paid = replace(trial(zone="Europe/Zurich"), paid_since=BEGAN)
    for month in (2, 9):
        now = datetime(2026, month, 10, 9, tzinfo=UTC)
        dates = license_term(paid, product(), now).dates
        local = dates.expires_at.astimezone(ZoneInfo("Europe/Zurich"))
        assert (local.hour, local.minute) == (0, 0)

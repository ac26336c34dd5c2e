"""What a payment provider's messages say, down to those that nobody would send."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.core import billing
from tenantry.core.billing import Message, read_plain
from tenantry.core.product import Plan
from tenantry.core.stripe import read_stripe
from tenantry.core.subscription import Booking, Event, EventKind, add_up

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
MONTH = 30 * 24 * 3600
END = NOW + timedelta(seconds=MONTH)
PLANS = {
    name: Plan(title=name, features={}, limits={}, volumes={}, prices=(f"price_{name}",))
    for name in ("small", "large")
}
LINE = {"price": {"id": "price_large"}, "amount": 900, "period": {"end": SECONDS + MONTH}}
BOOKED = {
    "id": "sub_1",
    "customer": "cus_1",
    "status": "active",
    "cancel_at_period_end": False,
    "items": {"data": [{"price": {"id": "price_large"}, "current_period_end": SECONDS + MONTH}]},
}


def stripe(kind: str, thing: object, **data: Any) -> Message:
    said = {"id": "evt_1", "type": kind, "created": SECONDS, "data": {"object": thing, **data}}
    return billing.read(said, partial(read_stripe, plans=PLANS), b"{}", NOW)


def plain(**changes: Any) -> Message:
    said = {"id": "m-1", "type": "paid", "created": SECONDS, "customer_id": "cust-1"} | changes
    return billing.read(said, partial(read_plain, plans=PLANS), b"{}", NOW)


def event(kind: EventKind, plan: str | None = None, until: datetime | None = None) -> Event:
    receipt = "in_1" if kind == EventKind.PAID else None
    return Event(f"evt_1/{kind}", kind, NOW, plan, until, "sub_1", receipt)


def invoice(*lines: dict[str, Any], **more: Any) -> dict[str, Any]:
    lines_of = {"lines": {"data": list(lines)}}
    return {"id": "in_1", "customer": "cus_1", "subscription": "sub_1", **lines_of, **more}


def paid(*lines: dict[str, Any], **more: Any) -> dict[str, Any]:
    return invoice(*lines, amount_paid=900, **more)


UNUSED = {"price": {"id": "price_small"}, "amount": -400, "period": {"end": SECONDS + MONTH}}
BOTH = UNUSED | {"amount": 1}
NEWER = {
    "pricing": {"price_details": {"price": "price_large"}},
    "amount": 900,
    "period": {"end": SECONDS + MONTH},
}
KEYED = LINE | {"price": {"id": "price_9", "lookup_key": "price_large"}}
BY_NAME = {"period": LINE["period"], "metadata": {"plan": "large"}}
SHORT = LINE | {"period": {"end": SECONDS}}
ENDING = BOOKED | {"cancel_at_period_end": True}
WAS_ENDING = {"previous_attributes": {"cancel_at_period_end": True}}
COPIED = BOOKED | {"metadata": {"plan": "small"}}  # from its checkout, before a change of plan
LATER = {"period": {"end": SECONDS + 2 * MONTH}}
NEWER_PLACE = {
    "subscription": None,
    "parent": {"subscription_details": {"subscription": "sub_1"}},
}
ADDED = LATER | {"price": {"id": "price_of_an_addition"}, "amount": 100}
PLAN_LARGE = event(EventKind.PLAN, "large")
BILLED_LARGE = replace(PLAN_LARGE, receipt="in_1")
PAID_LARGE = [BILLED_LARGE, event(EventKind.PAID, until=END)]
BEFORE = replace(BILLED_LARGE, at=NOW - timedelta(days=4))
OWED = {"previous_attributes": {"status": "past_due"}}
ADDED_ITEM = {"price": {"id": "price_of_an_addition"}, "current_period_end": SECONDS + 9 * MONTH}
WITH_ADDED = BOOKED | {"items": {"data": [*BOOKED["items"]["data"], ADDED_ITEM]}}  # type: ignore[index]
WAIVED = [PLAN_LARGE, replace(event(EventKind.PAID, until=END), receipt=None)]
SOONER = {"cancel_at": SECONDS + 86_400}
WAIVED_TO_ITS_END = replace(WAIVED[1], until=NOW + timedelta(days=1))
RESUMED = event(EventKind.RESUMED)
CANCELLED = event(EventKind.CANCELLED, until=END)


@pytest.mark.parametrize(
    ("kind", "thing", "data", "events"),
    [
        ("invoice.paid", paid(LINE), {}, PAID_LARGE),
        ("invoice.payment_succeeded", paid(NEWER, **NEWER_PLACE), {}, PAID_LARGE),
        ("invoice.paid", paid(KEYED, SHORT), {}, PAID_LARGE),
        ("invoice.paid", paid(BY_NAME), {}, PAID_LARGE),
        ("invoice.paid", paid(LINE, metadata={"plan": "small"}), {}, PAID_LARGE),
        ("invoice.paid", paid(UNUSED, LINE), {}, PAID_LARGE),
        ("invoice.paid", paid(UNUSED | LATER, LINE), {}, PAID_LARGE),
        ("invoice.paid", paid(LINE, BOTH), {}, PAID_LARGE[1:]),
        ("invoice.paid", paid(LINE, ADDED), {}, PAID_LARGE),
        ("invoice.paid", paid(LINE, created=SECONDS - 4 * 86_400), {}, [BEFORE, PAID_LARGE[1]]),
        ("invoice.paid", paid(LINE, created=SECONDS + 86_400), {}, PAID_LARGE),
        ("invoice.paid", invoice(LINE, amount_paid=0), {}, WAIVED),
        ("invoice.payment_failed", invoice(LINE), {}, [event(EventKind.PAYMENT_FAILED)]),
        ("customer.subscription.updated", BOOKED, {}, [PLAN_LARGE]),
        ("customer.subscription.updated", COPIED, {}, [PLAN_LARGE]),
        ("customer.subscription.updated", ENDING, {}, [PLAN_LARGE, CANCELLED]),
        ("customer.subscription.updated", BOOKED, WAS_ENDING, [PLAN_LARGE, RESUMED]),
        ("customer.subscription.updated", WITH_ADDED, OWED, WAIVED),
        ("customer.subscription.updated", BOOKED | {"status": "past_due"}, OWED, [PLAN_LARGE]),
        ("customer.subscription.updated", ENDING, OWED, WAIVED),
        ("customer.subscription.updated", ENDING | SOONER, OWED, [PLAN_LARGE, WAIVED_TO_ITS_END]),
        ("customer.subscription.updated", ENDING, {"previous_attributes": {}}, [PLAN_LARGE]),
        (
            "customer.subscription.updated",
            BOOKED | {"cancel_at": SECONDS + MONTH},
            {"previous_attributes": {"cancel_at": None}},
            [PLAN_LARGE, CANCELLED],
        ),
        ("customer.subscription.deleted", BOOKED | {"ended_at": SECONDS + MONTH}, {}, [CANCELLED]),
        ("customer.subscription.deleted", BOOKED, {}, [CANCELLED]),
    ],
)  # fmt: skip
def test_what_stripe_says(
    kind: str, thing: object, data: dict[str, Any], events: list[Event]
) -> None:
    said = stripe(kind, thing, **data)
    assert (list(said.events), said.reason) == (events, None)
    assert (said.customer_id, said.billing_customer) == (None, "cus_1")


@pytest.mark.parametrize(("status", "plan"), [("paid", "large"), ("unpaid", None)])
def test_a_checkout_says_who_is_whom(status: str, plan: str | None) -> None:
    thing = {
        "client_reference_id": "cust-1",
        "customer": {"id": "cus_1", "email": "ada@example.com"},
        "subscription": "sub_1",
        "payment_status": status,
        "metadata": {"plan": "large"},
    }
    said = stripe("checkout.session.completed", thing)
    assert said.events == (event(EventKind.LINKED, plan),)
    assert (said.customer_id, said.billing_customer) == ("cust-1", "cus_1")


@pytest.mark.parametrize(
    ("kind", "thing"),
    [
        ("charge.succeeded", {"customer": "cus_1"}),
        ("invoice.paid", invoice(LINE | {"price": {"id": "price_of_a_mug"}})),
        ("invoice.paid", invoice(BY_NAME | {"metadata": {"plan": "huge"}})),
        ("invoice.paid", invoice()),
        ("invoice.paid", invoice(UNUSED)),
        *[
            ("customer.subscription.updated", BOOKED | {"status": status})
            for status in ("incomplete", "incomplete_expired", "unpaid", "canceled", "paused")
        ],
        ("customer.subscription.updated", BOOKED | {"id": None}),
        ("invoice.paid", invoice(LINE | {"period": {"end": 10**40}})),
        ("invoice.paid", invoice(LINE | {"period": {"end": True}})),
        ("invoice.paid", invoice(LINE | {"period": {"end": 1e9}})),
        ("invoice.paid", paid(LINE) | {"customer": ["cus_1"]}),
        ("invoice.paid", paid(LINE, subscription=None)),
        ("invoice.payment_failed", invoice(LINE, subscription=None)),
        ("invoice.payment_failed", invoice(LINE | {"price": None})),
        ("customer.subscription.deleted", BOOKED | {"items": 7}),
        ("checkout.session.completed", {"customer": "cus_1", "client_reference_id": None}),
    ],
)
def test_what_is_not_about_a_plan_is_kept(kind: str, thing: object) -> None:
    said = stripe(kind, thing)
    assert [(each.id, each.kind, each.at) for each in said.events] == [
        ("evt_1/other", EventKind.OTHER, NOW)
    ]
    assert said.reason


@pytest.mark.parametrize(
    ("more", "subscription"),
    [({}, "sub_1"), (NEWER_PLACE, "sub_1"), ({"subscription": None}, None)],
)
def test_what_is_kept_names_its_subscription(
    more: dict[str, Any], subscription: str | None
) -> None:
    (kept,) = stripe(
        "invoice.paid", paid(LINE | {"price": {"id": "price_of_a_mug"}}, **more)
    ).events
    assert (kept.kind, kept.subscription) == (EventKind.OTHER, subscription)


@pytest.mark.parametrize("kind", ["paid", "payment_failed", "plan", "cancelled", "resumed"])
@pytest.mark.parametrize("created", [SECONDS, NOW.isoformat(), "2026-11-23T10:00:00+01:00"])
def test_what_a_plain_message_says(kind: str, created: object) -> None:
    said = plain(type=kind, created=created, plan="large", until="2026-12-23T09:00:00Z")
    expected = Event(f"m-1/{kind}", EventKind(kind), NOW, "large", END, receipt="m-1")
    assert said.events == (expected,)
    assert said.customer_id == "cust-1"


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "linked"},
        {"type": "plan"},
        {"type": []},
        {"plan": "huge"},
        {"plan": ["large"]},
        {"plan": {}},
        {"id": ""},
        {"id": "a\nb"},
        {"customer_id": None},
        {"created": None},
        {"created": "yesterday"},
        {"created": "0000-01-01"},
        {"created": "2026-11-23T09:00:00"},
        {"until": "99999-01-01T00:00:00Z"},
        {"until": "9999-12-31T23:59:59-14:00"},
        {"until": "0001-01-01T00:00:00+14:00"},
        {"until": -(10**12)},
        {"created": SECONDS + 86_401},
    ],
)
def test_a_plain_message_that_says_something_else_is_kept(changes: dict[str, Any]) -> None:
    said = plain(**changes)
    assert [each.kind for each in said.events] == [EventKind.OTHER]
    assert said.reason
    assert said.at == NOW


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
SHAPES: list[dict[str, Any]] = [
    {"type": "invoice.paid", "data": {"object": invoice(LINE)}},
    {"type": "customer.subscription.updated", "data": {"object": ENDING}},
    {"type": "checkout.session.completed", "data": {"object": {"metadata": {"plan": "large"}}}},
    {"type": "paid", "customer_id": "cust-1", "plan": "large", "until": SECONDS},
]


@given(st.sampled_from(SHAPES), st.randoms(use_true_random=False), JSON)
def test_nothing_that_is_json_is_too_strange(shape: object, chance: Any, odd: object) -> None:
    said = {"id": "evt_1", "created": SECONDS, **json.loads(json.dumps(shape))}
    place: Any = said
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = chance.choice(keys)
        if not isinstance(place[key], dict | list) or chance.random() < 0.2:
            place[key] = odd
            break
        place = place[key]
    for reader in (read_stripe, read_plain):
        found = billing.read(said, partial(reader, plans=PLANS), b"{}", NOW)
        assert found.events
        assert all(each.at <= NOW + billing.AHEAD for each in found.events)


MOMENTS = st.integers(0, 400).map(lambda days: NOW + timedelta(days=days))
EVENTS = st.lists(
    st.builds(
        Event,
        id=st.uuids().map(str),
        kind=st.sampled_from([kind for kind in EventKind if kind != EventKind.OTHER]),
        at=MOMENTS,
        plan=st.none() | st.sampled_from(list(PLANS)),
        until=st.none() | MOMENTS,
        subscription=st.sampled_from([None, "sub_1", "sub_2", "sub_3"]),
    ),
    max_size=8,
)
TRIAL = Booking(NOW, "Europe/Berlin", NOW + timedelta(days=14), "small")


@given(EVENTS.flatmap(lambda events: st.tuples(st.just(events), st.permutations(events))))
def test_the_order_of_arrival_does_not_matter(told: tuple[list[Event], list[Event]]) -> None:
    in_order, otherwise = told
    assert add_up(TRIAL, in_order) == add_up(TRIAL, otherwise)


def day(number: int) -> datetime:
    return NOW + timedelta(days=number)


def told(kind: EventKind, at: int, until: int | None, of: str | None, plan: str = "") -> Event:
    end = None if until is None else day(until)
    return Event(f"{kind}-{at}-{of}", kind, day(at), plan or None, end, of)


OLD = [
    told(EventKind.PAID, 5, 35, "sub_old", "small"),
    told(EventKind.CANCELLED, 35, 35, "sub_old"),
]
NEW = told(EventKind.PAID, 20, 50, "sub_new", "large")


@pytest.mark.parametrize(
    "late",
    [
        OLD[1],
        told(EventKind.PAYMENT_FAILED, 36, None, "sub_old"),
        told(EventKind.PLAN, 22, None, "sub_old", "small"),
        told(EventKind.PAID, 35, 365, "sub_old", "small"),
        told(EventKind.PAYMENT_FAILED, 21, None, "sub_never_paid"),
        told(EventKind.CANCELLED, 21, 21, "sub_never_paid"),
    ],
)
def test_a_subscription_that_was_booked_anew_is_the_one_that_counts(late: Event) -> None:
    after = add_up(TRIAL, [late, NEW, OLD[0]])
    assert (after.plan, after.paid_until) == ("large", day(50))
    assert (after.cancelled_at, after.past_due_since) == (None, None)


def test_what_operators_and_customers_say_counts_for_each() -> None:
    cancelled = told(EventKind.CANCELLED, 21, None, None)
    assert add_up(TRIAL, [*OLD, NEW, cancelled]).cancelled_at == day(21)


BY_CARD = told(EventKind.PAID, 5, 35, "sub_1", "small")
BY_HAND = told(EventKind.PAID, 37, 365, None, "large")
OF_CARD = [
    told(EventKind.PAYMENT_FAILED, 40, None, "sub_1"),
    told(EventKind.PLAN, 40, None, "sub_1", "small"),
    told(EventKind.CANCELLED, 55, 55, "sub_1"),
    told(EventKind.RESUMED, 56, None, "sub_1"),
]


def test_what_happens_to_a_card_is_nothing_to_who_pays_otherwise() -> None:
    failed = told(EventKind.PAYMENT_FAILED, 35, None, "sub_1")
    stands = add_up(TRIAL, [BY_CARD, failed, BY_HAND])
    assert (stands.plan, stands.paid_until, stands.past_due_since) == ("large", day(365), None)
    assert add_up(TRIAL, [BY_CARD, failed, BY_HAND, *OF_CARD]) == stands
    assert add_up(TRIAL, [BY_HAND, *OF_CARD]) == add_up(TRIAL, [BY_HAND])  # a try, never paid
    cancelled = replace(OF_CARD[2], subscription=None)  # an operator says so
    assert add_up(TRIAL, [BY_CARD, BY_HAND, cancelled, OF_CARD[3]]).cancelled_at == day(55)


@pytest.mark.parametrize("of", ["sub_1", None])
def test_a_payment_that_fails_books_no_plan(of: str | None) -> None:
    tried = told(EventKind.PAYMENT_FAILED, 8, None, of, "large")
    assert add_up(TRIAL, [BY_CARD, tried]).plan == "small"
    by_hand = told(EventKind.PAID, 5, 35, None, "small")
    assert add_up(TRIAL, [by_hand, tried, told(EventKind.PAID, 9, 39, of)]).plan == "small"
    failed = plain(type="payment_failed", plan="large").events
    assert add_up(TRIAL, failed) == replace(TRIAL, past_due_since=NOW)


def test_a_try_that_was_never_paid_cancels_no_trial() -> None:
    assert add_up(TRIAL, [told(EventKind.CANCELLED, 2, 2, "sub_1")]) == TRIAL


def test_who_pays_by_card_again_has_the_plan_of_that() -> None:
    paid = told(EventKind.PAID, 41, 70, "sub_1")
    assert add_up(TRIAL, [BY_CARD, BY_HAND, paid]).plan == "large"  # an older invoice
    events = [BY_CARD, BY_HAND, *OF_CARD[:2], paid]
    again = add_up(TRIAL, events)
    assert (again.plan, again.paid_until, again.past_due_since) == ("small", day(70), None)
    later = [replace(BY_HAND, id="2", at=day(42)), told(EventKind.PAID, 43, 70, "sub_1")]
    assert add_up(TRIAL, [*events, *later]).plan == "large"


@pytest.mark.parametrize("of", ["sub_1", None])
def test_what_is_paid_for_time_before_the_end_takes_no_cancellation_back(of: str | None) -> None:
    first = told(EventKind.PAID, 5, 35, of)
    ends = [first, told(EventKind.CANCELLED, 37, 120, of)]
    for until in (65, 120):  # a month of it, or what was owed to the end
        stands = add_up(TRIAL, [*ends, told(EventKind.PAID, 40, until, of)])
        assert (stands.cancelled_at, stands.paid_until) == (day(37), day(until))
        assert stands.ends_at == add_up(TRIAL, ends).ends_at
    for longer in (150, None):
        stands = add_up(TRIAL, [*ends, told(EventKind.PAID, 40, longer, of)])
        assert (stands.cancelled_at, stands.ends_at) == (None, None)
    booked = add_up(TRIAL, [told(EventKind.CANCELLED, 2, None, None), replace(first, until=day(9))])
    assert booked.cancelled_at is None  # a trial's


def test_what_is_waived_after_a_cancellation_is_owed_no_more() -> None:
    """Neither does it take the cancellation back; that, something else does."""
    first = told(EventKind.PAID, -31, 0, "sub_1", "large")
    failed = told(EventKind.PAYMENT_FAILED, -1, None, "sub_1")
    cancelled = replace(CANCELLED, id="c", at=NOW - timedelta(hours=1))
    waived = stripe("customer.subscription.updated", ENDING, **OWED).events
    stands = add_up(TRIAL, [first, failed, cancelled, *waived])
    assert (stands.past_due_since, stands.paid_until) == (None, END)
    assert stands.cancelled_at == cancelled.at
    resumed = add_up(
        TRIAL, [first, failed, cancelled, *waived, told(RESUMED.kind, 1, None, "sub_1")]
    )
    assert resumed == replace(stands, cancelled_at=None, ends_at=None)


def test_an_invoice_for_something_else_makes_nobody_else_the_payer() -> None:
    first = told(EventKind.PAID, -5, 25, "sub_1", "small")
    ended = told(EventKind.CANCELLED, 9, 9, "sub_1")
    alone = stripe("invoice.paid", paid(LINE, subscription=None)).events
    assert add_up(TRIAL, [first, *alone, ended]).cancelled_at == day(9)


def test_an_old_invoice_that_is_paid_leaves_the_plan_that_was_booked_since() -> None:
    changed = replace(PLAN_LARGE, id="evt_2/plan", at=NOW - timedelta(days=2))
    small = LINE | {"price": {"id": "price_small"}}
    late = stripe("invoice.paid", paid(small, created=SECONDS - 4 * 86_400)).events
    assert add_up(TRIAL, [changed, *late]).plan == "large"


def test_a_year_that_was_given_back_is_not_kept() -> None:
    year = told(EventKind.PAID, 0, 365, "sub_1")
    ended = told(EventKind.CANCELLED, 10, 10, "sub_1")
    month = told(EventKind.PAID, 12, 42, "sub_1")
    assert add_up(TRIAL, [year, month]).paid_until == day(365)
    assert add_up(TRIAL, [year, ended, month]).paid_until == day(42)
    assert add_up(TRIAL, [year, replace(month, subscription=None)]).paid_until == day(42)


def test_what_is_over_neither_wakes_nor_ends_once_more() -> None:
    paid_for = told(EventKind.PAID, 5, 35, "sub_1")
    ended = told(EventKind.CANCELLED, 10, 10, "sub_1")
    stands = add_up(TRIAL, [paid_for, ended])
    for late in (
        told(EventKind.CANCELLED, 35, 35, "sub_1"),
        told(EventKind.CANCELLED, 35, 99, "sub_1"),
        told(EventKind.PAID, 12, 12, "sub_1"),
    ):
        assert add_up(TRIAL, [paid_for, ended, late]) == stands

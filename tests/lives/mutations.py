"""Mistakes that a year must find."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from tenantry.core import subscription
from tenantry.core.days import day_ends
from tenantry.core.subscription import Booking, Event
from tenantry.flows import outbox
from tenantry.flows.subscriptions import events, following, renewal

Apply = Callable[[pytest.MonkeyPatch], None]
_right_wind_down, _right_pay, _right_put = subscription._wind_down, subscription._pay, outbox.put
_numbers = count()


def _put(module: Any, name: str, value: object) -> Apply:
    return lambda monkeypatch: monkeypatch.setattr(module, name, value)


def _utc_day(at: datetime, _: Booking, days: int = 0) -> datetime:
    return day_ends(at, "UTC", after=days)


def _shorter(booking: Booking, ends: datetime, days: int, *rest: Any) -> Any:
    return _right_wind_down(booking, ends, days - 1, *rest)


def _still_due(booking: Booking, event: Event) -> Booking:
    return replace(_right_pay(booking, event), past_due_since=booking.past_due_since)


def _as_told(trial: Booking, told: Iterable[Event]) -> Booking:
    for event in told:
        trial = subscription._add(trial, event)
    return trial


def _each_time(session: Any, *, period: str = "", **rest: Any) -> None:
    _right_put(session, period=f"{period} {next(_numbers)}", **rest)


def _ours_in_any_case(row: Any, wanted: str, *, is_asked: bool) -> None:
    row.asked_state = wanted


MUTATIONS: dict[str, Apply] = {
    "days end where the service runs": _put(subscription, "_day_ends", _utc_day),
    "read-only lasts a day less": _put(subscription, "_wind_down", _shorter),
    "a payment leaves what was due": _put(subscription, "_pay", _still_due),
    "events count as they arrive": _put(events, "add_up", _as_told),
    "what is cancelled ends at once": _put(subscription, "_end", lambda _, event: event.at),
    "licenses are not renewed": _put(
        renewal, "_renewal_of", lambda *_: datetime.max.replace(tzinfo=UTC)
    ),
    "a payment brings no license": _put(following, "needs_license", lambda *_: False),
    "an operator's suspension is taken for ours": _put(following, "_remember", _ours_in_any_case),
    "mail that is over is sent": _put(outbox, "drop_unsent", lambda *_, **__: None),
    "a mail is due with each look": _put(outbox, "put", _each_time),
}

# What is tried each time; `EXAMPLES=60 make test ARGS="-k year"` tries all of them.
OFTEN = ("events count as they arrive", "a payment brings no license")

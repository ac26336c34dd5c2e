"""R8: the arithmetic of limits, and who counts as whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.core.addresses import UNKNOWN, client_network
from tenantry.core.limits import Limit, judge, parse_limit

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
LIMITS = st.builds(
    Limit,
    st.integers(1, 1000),
    st.sampled_from([timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)]),
)
STEPS = st.lists(st.integers(0, 3600 * 10**6).map(lambda us: timedelta(microseconds=us)))


def admitted_at(limit: Limit, times: list[datetime]) -> list[datetime]:
    full_at, admitted = None, []
    for now in times:
        verdict = judge(limit, full_at, now)
        if not verdict.wait:
            full_at = verdict.full_at
            admitted.append(now)
    return admitted


def after(steps: list[timedelta]) -> list[datetime]:
    return [START + sum(steps[: i + 1], timedelta(0)) for i in range(len(steps))]


@given(LIMITS, STEPS)
def test_no_window_holds_more_than_the_limit_and_what_its_time_gives_back(
    limit: Limit, steps: list[timedelta]
) -> None:
    admitted = admitted_at(limit, after(steps))
    for i, first in enumerate(admitted):
        for j, last in enumerate(admitted[i:], start=1):
            assert j <= limit.count + (last - first) / limit.interval


@given(LIMITS)
def test_all_of_the_limit_may_come_at_once_and_no_more(limit: Limit) -> None:
    assert len(admitted_at(limit, [START] * (limit.count + 3))) == limit.count


@given(LIMITS, STEPS)
def test_who_waits_as_told_is_admitted_and_no_sooner(limit: Limit, steps: list[timedelta]) -> None:
    full_at = None
    for now in [*after(steps), *[START + sum(steps, timedelta(0))] * limit.count]:
        verdict = judge(limit, full_at, now)
        if not verdict.wait:
            full_at = verdict.full_at
            continue
        assert not judge(limit, full_at, now + verdict.wait).wait
        sooner = now + verdict.wait - timedelta(microseconds=1)
        assert judge(limit, full_at, sooner).wait


@given(LIMITS, st.timedeltas(timedelta(0), timedelta(days=400)))
def test_a_clock_set_back_locks_nobody_out_for_longer_than_a_period(
    limit: Limit, back: timedelta
) -> None:
    full_at = judge(limit, None, START).full_at
    verdict = judge(limit, full_at, START - back)
    assert verdict.wait <= limit.span
    assert verdict.wait <= limit.period + timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("5/hour", Limit(5, timedelta(hours=1))),
        ("100/minute", Limit(100, timedelta(minutes=1))),
        ("1/day", Limit(1, timedelta(days=1))),
        ("none", None),
    ],
)
def test_limits_are_given_as_text(text: str, limit: Limit | None) -> None:
    assert parse_limit(text) == limit


@pytest.mark.parametrize("text", ["", "0/hour", "5", "5/week", "-1/hour", "5 / hour", "1e3/hour"])
def test_what_is_no_limit_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(ValueError, match="5/hour"):
        parse_limit(text)


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "network"),
    [
        ("192.0.2.1", "", 0, "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", 0, "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", 1, "203.0.113.9"),
        ("192.0.2.1", "10.9.9.9, 203.0.113.9", 1, "203.0.113.9"),
        ("192.0.2.1", "6.6.6.6,203.0.113.9, 10.0.0.1", 2, "203.0.113.9"),
        ("192.0.2.1", "203.0.113.9", 2, "192.0.2.1"),
        ("192.0.2.1", "6.6.6.6, nonsense", 1, "192.0.2.1"),
        ("192.0.2.1", "6.6.6.6, ", 1, "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9:4711", 1, "203.0.113.9"),
        ("192.0.2.1", "[2001:db8:1:2:3::4]:4711", 1, "2001:db8:1::/56"),
        ("192.0.2.1", '"[2001:db8:1:2:3::4]"', 1, "2001:db8:1::/56"),
        ("2001:db8:1:2:ffff::1", "", 0, "2001:db8:1::/56"),
        ("2001:db8:1:2ff:ffff::1", "", 0, "2001:db8:1:200::/56"),
        ("::ffff:192.0.2.7", "", 0, "192.0.2.7"),
        ("fe80::1%eth0", "", 0, "fe80::/56"),
        ("", "", 0, UNKNOWN),
    ],
)
def test_only_what_trusted_proxies_say_counts(
    peer: str, forwarded: str, trusted: int, network: str
) -> None:
    assert client_network(peer, forwarded, trusted=trusted) == network


@given(st.text(), st.integers(0, 5))
def test_no_header_breaks_it(forwarded: str, trusted: int) -> None:
    assert client_network("192.0.2.1", forwarded, trusted=trusted)

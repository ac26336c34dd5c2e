"""Where a subscription of the sample product stands, by counting days where the customer lives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

TRIAL_DAYS, GRACE_DAYS, REMINDERS = 14, 3, (7, 12)
PAST_DUE_DAYS, READ_ONLY_DAYS = 14, 3
SLACK = timedelta(days=2)
ACTIVE, READ_ONLY, SUSPENDED = "active", "read-only", "suspended"
STATES = (SUSPENDED, READ_ONLY, ACTIVE)  # worst first
INSTANT = timedelta(microseconds=1)
_IN_ONE_SECOND = ("payment_failed", "cancelled", "resumed", "plan", "paid")


class Fact(NamedTuple):
    """What happened, and was told."""

    at: datetime
    kind: str
    id: str
    plan: str | None = None
    until: datetime | None = None


class Stand(NamedTuple):
    """What the tenant should be, and the mail that says so; a spell has each kind once."""

    state: str
    mail: str = ""
    spell: str = ""


@dataclass
class Account:
    """What the facts come to."""

    first_paid: datetime | None = None
    paid_at: datetime | None = None
    until: datetime | None = None
    failed_at: datetime | None = None
    cancelled_at: datetime | None = None
    last_day: date | None = None  # of what was cancelled


@dataclass(frozen=True)
class Life:
    """Who signed up, when, and where midnight is."""

    started: datetime
    zone: str

    def day(self, at: datetime) -> date:
        return at.astimezone(ZoneInfo(self.zone)).date()

    def stands(self, facts: Iterable[Fact], now: datetime) -> Stand:
        """At `now`, as far as it was told."""
        account = self._add_up(facts)
        if account.cancelled_at is None:
            return self._going(account, now)
        return self._cancelled(account, account.cancelled_at, max(now, account.cancelled_at))

    def _add_up(self, facts: Iterable[Fact]) -> Account:
        account = Account()
        for fact in sorted(facts, key=lambda one: (one.at, _IN_ONE_SECOND.index(one.kind), one.id)):
            if self._is_moot(account, fact):
                continue
            if fact.kind == "paid":
                account = self._paid(account, fact)
            elif fact.kind == "payment_failed":
                account.failed_at = account.failed_at or fact.at
            elif fact.kind == "cancelled":
                account.cancelled_at = account.cancelled_at or fact.at
                account.last_day = self._last_day(account, fact)
            elif fact.kind == "resumed":
                account.cancelled_at = account.last_day = None
        return account

    def _paid(self, account: Account, fact: Fact) -> Account:
        stays = fact.until and self._is_before_end(account, fact.until)
        carried = account.until if stays or not account.cancelled_at else None
        until = max(filter(None, (fact.until, carried)), default=None)
        paid = Account(account.first_paid or fact.at, fact.at, until if fact.until else None)
        if stays:
            paid.cancelled_at, paid.last_day = account.cancelled_at, account.last_day
        return paid

    def _is_before_end(self, account: Account, until: datetime) -> bool:
        """Whether it was cancelled, and is paid for no longer than it was to run."""
        if account.first_paid is None or account.last_day is None:
            return False
        return self.day(until - INSTANT) <= account.last_day

    def _is_moot(self, account: Account, fact: Fact) -> bool:
        """Who has cancelled does not cancel once more when it is over, nor pays for what was."""
        if fact.kind == "cancelled":
            return account.last_day is not None and self.day(fact.at) > account.last_day
        is_over = fact.until is not None and fact.until <= fact.at
        return fact.kind == "paid" and is_over and account.cancelled_at is not None

    def _last_day(self, account: Account, fact: Fact) -> date:
        if account.paid_at is None:
            return self.day(self.started) + timedelta(days=TRIAL_DAYS)
        over = fact.until or account.until or fact.at
        return max(self.day(fact.at), self.day(over - INSTANT))

    def _going(self, account: Account, now: datetime) -> Stand:
        if account.paid_at is None or account.first_paid is None:
            return self._trial(now)
        now = max(now, account.first_paid)
        unpaid = account.until + SLACK if account.until else None
        late = [each for each in (account.failed_at, unpaid) if each]
        first = max(min(late), account.paid_at) if late else None
        if first is None or now < first:
            return Stand(ACTIVE)
        spell = f"unpaid since {account.paid_at}"
        days = (self.day(now) - self.day(max(first, account.until or first))).days
        if days <= PAST_DUE_DAYS:
            return Stand(ACTIVE, "payment_failed", spell)
        return _down(days - PAST_DUE_DAYS, READ_ONLY_DAYS, "read_only", spell)

    def _trial(self, now: datetime) -> Stand:
        days = (self.day(now) - self.day(self.started)).days
        if days > TRIAL_DAYS:
            return _down(days - TRIAL_DAYS, GRACE_DAYS, "trial_ended", "trial")
        zone = ZoneInfo(self.zone)
        shown = now.astimezone(zone).replace(tzinfo=None)
        began = self.started.astimezone(zone).replace(tzinfo=None)
        reached = [day for day in REMINDERS if shown >= began + timedelta(days=day)]
        return Stand(ACTIVE, "trial_ending", f"day {reached[-1]}") if reached else Stand(ACTIVE)

    def _cancelled(self, account: Account, at: datetime, now: datetime) -> Stand:
        spell = f"cancelled {at}"
        before, after = self._going(account, at), self._going(account, now)
        if before.state != ACTIVE:  # it was over: that goes on
            return after if after != before else Stand(after.state, "cancelled", spell)
        assert account.last_day is not None
        days = (self.day(now) - account.last_day).days
        if days <= 0:
            return Stand(ACTIVE, "cancelled", spell)
        paid = account.paid_at is not None
        return _down(days, READ_ONLY_DAYS if paid else GRACE_DAYS, "read_only", spell)


def _down(day: int, days: int, mail: str, spell: str) -> Stand:
    """On that day (from 1) after the last."""
    if day > days:
        return Stand(SUSPENDED, "suspended", spell)
    return Stand(READ_ONLY, "read_only_over" if day == days else mail, spell)

"""How long a customer's license runs, and when the next one takes its place: pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tenantry.core.days import day_ends, move_days
from tenantry.core.product import Product
from tenantry.core.subscription import Booking


@dataclass(frozen=True)
class LicenseDates:
    """The instants that a license names, in UTC; the ends are exclusive."""

    expires_at: datetime
    warn_at: datetime
    grace_until: datetime


@dataclass(frozen=True)
class Term:
    """What a license that is issued now says of its time."""

    kind: str  # "trial" or "paid"
    dates: LicenseDates


def license_dates(
    expires_at: datetime, *, warn_days: int, grace_days: int, time_zone: str
) -> LicenseDates:
    """The dates of a license that ends at `expires_at`: `warn_days` before and `grace_days` after
    it by the customer's calendar, at the same local time of day.
    """
    return LicenseDates(
        expires_at=expires_at.astimezone(UTC),
        warn_at=move_days(expires_at, -warn_days, time_zone),
        grace_until=move_days(expires_at, grace_days, time_zone),
    )


def license_term(booking: Booking, product: Product, now: datetime, *, runs: bool = False) -> Term:
    """Of a license that is issued at `now`. A trial's ends with the trial; one that is paid for is
    short beside what was paid, and renewed, so that a payment that fails ends it soon. So is that
    of a tenant that `runs` after its trial, because somebody had it run on.
    """
    zone = booking.time_zone
    if not booking.is_paid and not (runs and booking.trial_ends_at <= now):
        trial = product.trial
        dates = license_dates(
            booking.trial_ends_at,
            warn_days=trial.warn_days,
            grace_days=trial.grace_days,
            time_zone=zone,
        )
        return Term("trial", dates)
    paid = product.paid
    dates = license_dates(
        day_ends(now, zone, after=paid.license_days),
        warn_days=paid.warn_days,
        grace_days=paid.read_only_days,
        time_zone=zone,
    )
    return Term("paid" if booking.is_paid else "trial", dates)


def renews_at(expires_at: datetime, product: Product, customer_id: str) -> datetime:
    """When a license that was paid for is renewed: spread over half of the time that is left from
    `renew_days` on, always the same for a customer.
    """
    digest = hashlib.sha256(customer_id.encode()).digest()
    share = int.from_bytes(digest[:4], "big") / 2**32
    window = timedelta(days=product.paid.renew_days)
    return expires_at - window + window / 2 * share

"""Repeated and limited signups on each database: whatever happens between claim and answer, the
same key makes one customer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tenantry.adapters.database.base import Base
from tenantry.adapters.database.session import Database
from tenantry.adapters.database.tables import Customer, IdempotencyKey, RateLimit
from tenantry.core.errors import (
    DatabaseUnavailable,
    EmailTaken,
    KeyReused,
    RateLimited,
    RequestRunning,
    TenantryError,
)
from tenantry.core.limits import Limit, Limits
from tenantry.core.signup import SignupRequest, parse_signup
from tenantry.flows import housekeeping
from tenantry.flows.service import Service
from tenantry.flows.signups import admission, repeats
from tenantry.flows.signups.signup import Attempt, SignedUp, signup
from tests.system.world import PASSWORD, World

KEYED = Attempt(network="192.0.2.1", key="the-key")
PLAIN = Attempt(network="192.0.2.1")


def request_of(world: World, **changes: str) -> SignupRequest:
    fields = {"email": "c@example.com", "password": PASSWORD, "company_name": "Test Corp"}
    return parse_signup(fields | changes, rules=world.service.password_rules)


def sign_up(
    world: World, attempt: Attempt = KEYED, service: Service | None = None, **changes: str
) -> SignedUp:
    request = request_of(world, **changes)
    return signup(service or world.service, request, now=world.clock(), attempt=attempt)


def limited(world: World, **limits: Limit) -> Service:
    return replace(world.service, signup_limits=Limits(**limits))


def count(world: World, table: type[Base]) -> int:
    with world.service.database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def outcome(work: Callable[[], SignedUp]) -> str:
    try:
        return work().customer_id
    except TenantryError as error:
        return error.code


def test_racing_requests_with_one_key_make_one_customer(world: World) -> None:
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: outcome(lambda: sign_up(world)), range(8)))
    assert count(world, Customer) == 1
    assert len(set(said) - {RequestRunning.code}) == 1
    again = sign_up(world)
    assert again.is_replay
    assert {again.customer_id, RequestRunning.code} >= set(said)


class Broken:
    """A database whose write transactions fail, before or after they are committed."""

    def __init__(self, database: Database, *, at: int, after_commit: bool, with_: BaseException):
        self._database, self._at, self._after, self._with = database, at, after_commit, with_
        self._writes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    @contextmanager
    def write(self) -> Iterator[Session]:
        self._writes += 1
        fails = self._writes == self._at
        with self._database.write() as session:
            yield session
            if fails and not self._after:
                raise self._with
        if fails:
            raise self._with


DEATHS = [
    pytest.param(1, False, id="before the claim"),
    pytest.param(1, True, id="after the claim"),
    pytest.param(2, False, id="before the commit"),
    pytest.param(2, True, id="after the commit"),
]


@pytest.mark.parametrize(("at", "after_commit"), DEATHS)
def test_a_process_that_died_anywhere_leaves_everything_or_nothing(
    world: World, at: int, after_commit: bool
) -> None:
    service = replace(
        world.service,
        database=Broken(  # type: ignore[arg-type]
            world.service.database, at=at, after_commit=after_commit, with_=KeyboardInterrupt()
        ),
    )
    with pytest.raises(KeyboardInterrupt):
        sign_up(world, service=service)
    stored = count(world, Customer)
    assert stored == int(at == 2 and after_commit)
    world.clock.time += repeats.TAKEN_OVER_AFTER
    again = sign_up(world)
    assert again.is_replay == bool(stored)
    assert sign_up(world) == replace(again, is_replay=True)
    assert count(world, Customer) == 1


@pytest.mark.parametrize(("at", "after_commit"), DEATHS)
def test_a_connection_that_was_lost_anywhere_can_be_tried_again_at_once(
    world: World, at: int, after_commit: bool
) -> None:
    lost = DatabaseUnavailable("lost", retry_after=1.0)
    broken = Broken(world.service.database, at=at, after_commit=after_commit, with_=lost)
    service = replace(world.service, database=broken)  # type: ignore[arg-type]
    with pytest.raises(DatabaseUnavailable):
        sign_up(world, service=service)
    if (at, after_commit) == (1, True):  # committed, and nobody knows: as if it had died
        world.clock.time += repeats.TAKEN_OVER_AFTER
    assert sign_up(world).is_replay == (at == 2 and after_commit)
    assert count(world, Customer) == 1


def test_who_lost_the_claim_stores_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request sleeps through a minute, another takes its key over and is done."""
    done: list[SignedUp] = []

    def oversleep(password: str) -> str:
        monkeypatch.undo()
        world.clock.time += repeats.TAKEN_OVER_AFTER
        done.append(sign_up(world))
        return "$argon2id$late"

    monkeypatch.setattr("tenantry.flows.signups.signup.hash_password", oversleep)
    with pytest.raises(RequestRunning):
        sign_up(world)
    assert sign_up(world) == replace(done[0], is_replay=True)
    assert count(world, Customer) == 1


def test_another_body_is_refused_even_while_the_first_runs(world: World) -> None:
    admission.admit(world.service, request_of(world), KEYED, now=world.clock())
    with pytest.raises(KeyReused):
        sign_up(world, email="other@example.com")
    with pytest.raises(RequestRunning):
        sign_up(world)
    world.clock.time += repeats.TAKEN_OVER_AFTER
    assert not sign_up(world).is_replay


def test_a_claim_of_a_clock_that_was_ahead_is_taken_over(world: World) -> None:
    later = world.clock() + timedelta(hours=1)
    admission.admit(world.service, request_of(world), KEYED, now=later)
    assert sign_up(world).customer_id


def test_a_known_email_frees_the_key_and_counts(world: World) -> None:
    service = limited(world, email=Limit(3, timedelta(hours=1)))
    sign_up(world, PLAIN, service)
    for _ in range(2):
        with pytest.raises(EmailTaken):
            sign_up(world, KEYED, service)
    assert count(world, IdempotencyKey) == 0
    with pytest.raises(RateLimited):
        sign_up(world, KEYED, service)
    assert count(world, IdempotencyKey) == 0


def test_a_limit_holds_for_two_services_on_one_database(world: World) -> None:
    services = [limited(world, total=Limit(5, timedelta(hours=1))) for _ in range(2)]

    def attempt(number: int) -> str:
        name = f"{number}@example.com"
        return outcome(lambda: sign_up(world, PLAIN, services[number % 2], email=name))

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(attempt, range(12)))
    assert said.count(RateLimited.code) == 7
    assert count(world, Customer) == 5


def test_what_has_had_its_day_goes_by_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "_BITE", 7)
    service = limited(world, address=Limit(100, timedelta(hours=1)))
    request = request_of(world)
    for number in range(20):
        attempt = Attempt(network=f"2001:db8:{number}::/64", key=f"key-{number}")
        admission.admit(service, request, attempt, now=world.clock())
    world.clock.time += repeats.KEPT_FOR / 2
    assert housekeeping.forget_old(service, now=world.clock()) == 20
    assert (count(world, IdempotencyKey), count(world, RateLimit)) == (20, 0)
    sign_up(world, Attempt("2001:db8::/64", "young"), service)
    world.clock.time += repeats.KEPT_FOR / 2
    assert housekeeping.forget_old(service, now=world.clock()) == 21
    assert (count(world, IdempotencyKey), count(world, RateLimit)) == (1, 0)
    assert sign_up(world, Attempt("2001:db8::/64", "young"), service).is_replay

"""Accounts on each database: what a new one waits for, logins, links of mails."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select

from tenantry.adapters.database.base import Base
from tenantry.adapters.database.tables import (
    AccountToken,
    Change,
    Customer,
    LicenseRow,
    Login,
    Outbox,
    Secret,
    Subscription,
)
from tenantry.adapters.passwords import is_outdated
from tenantry.core.days import day_ends
from tenantry.core.errors import (
    ChangeRefused,
    DatabaseUnavailable,
    InvalidInput,
    NotFound,
    TenantryError,
    TooManyAttempts,
)
from tenantry.core.limits import Limit, Limits
from tenantry.core.model import FlagName, TokenPurpose
from tenantry.core.review import ChangeKind
from tenantry.core.subscription import Event, EventKind
from tenantry.flows import housekeeping
from tenantry.flows.accounts import choices, confirming, entry, links, logins, passwords, releasing
from tenantry.flows.accounts.entry import WrongLogin, log_in
from tenantry.flows.accounts.listing import list_accounts
from tenantry.flows.accounts.logins import LoggedIn, find_login
from tenantry.flows.flags import set_flag
from tenantry.flows.reviewing.changes import request_change
from tenantry.flows.signups.signup import SignedUp
from tenantry.flows.status import read_status
from tenantry.flows.subscriptions.events import Told, tell
from tenantry.flows.subscriptions.following import follow_due
from tests import migrated
from tests.invariants import check_invariants
from tests.system.world import PASSWORD, World, make_world

ANOTHER = "AnotherPass456"
NETWORK = "192.0.2.1"
HOUR = timedelta(hours=1)

# where it is not rows that decide
on_sqlite = pytest.mark.parametrize("world", ["sqlite"], indirect=True)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    """One for all tests, each with customers of its own."""
    folder = tmp_path_factory.mktemp("accounts")
    if request.param == "sqlite":
        url = f"sqlite:///{folder}/tenantry.db"
    else:
        url = migrated.new_database(request.getfixturevalue("postgres_server"))
    return make_world(folder, url)


def asking(world: World, **asked: Any) -> World:
    """The world with other settings."""
    return replace(world, service=replace(world.service, **asked))


def enter(world: World, customer: SignedUp, password: object = PASSWORD, **how: Any) -> str:
    return log_in(
        world.service,
        how.pop("email", customer.email),
        password,
        network=how.pop("network", NETWORK),
        agent="Firefox",
        now=world.clock(),
        **how,
    )


def session_of(world: World, token: str) -> LoggedIn | None:
    return find_login(world.service, token, now=world.clock())


def mailed(world: World, customer: SignedUp, kind: str) -> list[str]:
    """The tokens in the customer's mails of a kind that are to be sent, the oldest first."""
    rows = select(Outbox.wrapped).where(
        Outbox.customer_id == customer.customer_id,
        Outbox.kind == kind,
        Outbox.withheld_at.is_(None),
    )
    with world.service.database.read() as session:
        wrapped = session.scalars(rows.order_by(Outbox.id)).all()
    return [world.service.vault.unwrap(each) if each else "" for each in wrapped]


def link(world: World, customer: SignedUp) -> str:
    passwords.ask_reset(world.service, customer.email, network=NETWORK, now=world.clock())
    return mailed(world, customer, "reset")[-1]


def set_password(world: World, token: str, typed: object = ANOTHER) -> str:
    who = {"network": NETWORK, "agent": "Firefox"}
    return passwords.enter_anew(world.service, token, typed, **who, now=world.clock())


def confirm(world: World, customer: SignedUp) -> None:
    (token,) = mailed(world, customer, "confirm")
    confirming.confirm(world.service, token, now=world.clock())


def approve(world: World, customer: SignedUp) -> bool:
    return releasing.approve(world.service, customer.customer_id, actor="operator")


def ask_again(world: World, customer: SignedUp) -> None:
    confirming.ask_again(world.service, customer.customer_id, network=NETWORK, now=world.clock())


def is_listed(world: World, customer: SignedUp) -> bool:
    listed = list_accounts(world.service, waiting=True)
    return customer.customer_id in [each.customer_id for each in listed]


def row(world: World, table: type[Base], key: str) -> Any:
    with world.service.database.read() as session:
        return session.get_one(table, key)


def count(world: World, table: type[Change | AccountToken | Login], customer: SignedUp) -> int:
    mine = select(func.count()).where(table.customer_id == customer.customer_id)
    with world.service.database.read() as session:
        return session.scalar(mine) or 0


def outcome(work: Callable[[], Any]) -> str:
    try:
        work()
    except TenantryError as error:
        return error.code
    return "done"


def at_once(*work: Callable[[], Any]) -> list[str]:
    with ThreadPoolExecutor(len(work)) as pool:
        return sorted(pool.map(outcome, work))


# logins


def test_login_is_known_by_a_hash_until_it_ends(world: World) -> None:
    customer = world.sign_up()
    token = enter(world, customer, email=f"  {customer.email.upper()} ")
    found = session_of(world, token)
    assert found is not None
    assert found.customer_id == customer.customer_id
    assert found.token_hash == hashlib.sha256(token.encode()).hexdigest()
    (listed,) = logins.list_logins(world.service, customer.customer_id, now=world.clock())
    assert (listed.token_hash, listed.agent) == (found.token_hash, "Firefox")
    stranger = world.sign_up()
    logins.end_login(world.service, stranger.customer_id, found.token_hash)
    assert session_of(world, token), "nobody ends another's"
    logins.end_login(world.service, customer.customer_id, found.token_hash)
    assert session_of(world, token) is None


@on_sqlite
def test_login_replaces_the_one_that_the_browser_had(world: World) -> None:
    customer = world.sign_up()
    first = enter(world, customer)
    second = enter(world, customer, replaces=session_of(world, first))
    assert session_of(world, first) is None
    assert session_of(world, second)


def test_login_ends_unused_or_old(world: World) -> None:
    customer = world.sign_up()
    used, unused = enter(world, customer), enter(world, customer)
    for _ in range(6):
        world.wait(2 * 24 * 60)
        assert session_of(world, used)
    assert session_of(world, unused) is None
    world.wait(2 * 24 * 60)
    assert session_of(world, used) is None, "two weeks are over"
    assert housekeeping.forget_old(world.service, now=world.clock()) >= 2
    assert count(world, Login, customer) == 0


def test_login_notes_its_use_once_a_minute(world: World) -> None:
    token = enter(world, world.sign_up())
    began = row(world, Login, hashlib.sha256(token.encode()).hexdigest()).seen_at
    for minutes, is_noted in ((0.5, False), (0.6, True)):
        world.wait(minutes)
        assert session_of(world, token)
        seen = row(world, Login, hashlib.sha256(token.encode()).hexdigest()).seen_at
        assert (seen > began) is is_noted


@on_sqlite
def test_wrong_login_is_told_alike(world: World) -> None:
    customer = world.sign_up()
    tried: list[tuple[str, object]] = [
        (customer.email, "WrongPass123"),
        ("nobody@example.com", PASSWORD),
        ("no address", PASSWORD),
        (customer.email, None),
        (customer.email, "\ud800"),
        (customer.email, "x" * 5000),
    ]
    said = set()
    for email, password in tried:
        with pytest.raises(WrongLogin) as refused:
            enter(world, customer, password, email=email)
        said.add((refused.value.message, refused.value.code, refused.value.field))
    assert len(said) == 1


@on_sqlite
def test_login_makes_an_old_hash_anew(world: World) -> None:
    customer = world.sign_up()
    old = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    with world.service.database.write() as session:
        session.get_one(Customer, customer.customer_id).password_hash = old
    assert is_outdated(old)
    enter(world, customer)
    assert not is_outdated(row(world, Customer, customer.customer_id).password_hash)
    enter(world, customer)


@on_sqlite
def test_login_by_a_password_that_is_replaced_meanwhile_fails(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = world.sign_up()
    token = link(world, customer)

    def set_meanwhile(_: str) -> bool:
        set_password(world, token)
        return False

    monkeypatch.setattr(entry, "is_outdated", set_meanwhile)
    with pytest.raises(WrongLogin):
        enter(world, customer)
    assert count(world, Login, customer) == 1, "that of the reset"


@on_sqlite
def test_use_is_not_noted_where_nothing_can_be_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise DatabaseUnavailable("it is on standby")

    token = enter(world, world.sign_up())
    world.wait(2)
    monkeypatch.setattr(world.service.database, "write", fail)
    assert session_of(world, token)


@on_sqlite
def test_use_is_not_noted_while_the_service_is_read_only(world: World) -> None:
    token = enter(world, world.sign_up())
    key = hashlib.sha256(token.encode()).hexdigest()
    began = row(world, Login, key).seen_at
    world.wait(2)
    switch = partial(set_flag, world.service, FlagName.READ_ONLY_SERVICE, why="", actor="operator")
    switch(is_on=True)
    try:
        assert session_of(world, token)
        assert row(world, Login, key).seen_at == began
    finally:
        switch(is_on=False)


def test_logins_are_limited_by_address_of_either_kind(world: World) -> None:
    customer = world.sign_up()
    world = asking(world, login_limits=Limits(email=Limit(2, HOUR), address=Limit(3, HOUR)))
    enter(world, customer)
    enter(world, customer)
    with pytest.raises(TooManyAttempts):
        enter(world, customer)
    with pytest.raises(WrongLogin):
        enter(world, customer, email="other@example.com")
    with pytest.raises(TooManyAttempts):
        enter(world, customer, email="third@example.com")
    world.wait(60)
    enter(world, customer)


@on_sqlite
def test_strangers_keep_the_owner_out_only_from_very_many_networks(world: World) -> None:
    customer = world.sign_up()
    world = asking(world, login_limits=Limits(email=Limit(1, HOUR)))
    for number in range(9):
        with pytest.raises(WrongLogin):
            enter(world, customer, "WrongPass123", network=f"198.51.100.{number}")
    enter(world, customer)
    with pytest.raises(TooManyAttempts):
        enter(world, customer, network="198.51.100.99")
    assert session_of(world, set_password(world, link(world, customer))), "the way in"


# passwords


def test_reset_sets_the_password_once_and_ends_all_sessions(world: World) -> None:
    customer = world.sign_up()
    session = enter(world, customer)
    token = link(world, customer)
    with pytest.raises(InvalidInput, match="at least 8"):
        set_password(world, token, "short")
    assert passwords.address_of(world.service, token, now=world.clock()) == customer.email
    assert session_of(world, set_password(world, token))
    assert session_of(world, session) is None
    with pytest.raises(WrongLogin):
        enter(world, customer)
    enter(world, customer, ANOTHER)
    assert row(world, Customer, customer.customer_id).email_confirmed_at
    with pytest.raises(NotFound):
        set_password(world, token, PASSWORD)
    with pytest.raises(NotFound):
        passwords.address_of(world.service, token, now=world.clock())


def test_racing_resets_with_one_link_set_one_password(world: World) -> None:
    customer = world.sign_up()
    token = link(world, customer)
    typed = ["AnotherPass456", "AnotherPass457", "AnotherPass458"]
    said = at_once(*(partial(set_password, world, token, each) for each in typed))
    assert said == ["done", *["not_found"] * 2]


def test_reset_sent_twice_lets_in_twice(world: World) -> None:
    customer = world.sign_up()
    token = link(world, customer)
    assert at_once(*(lambda: set_password(world, token) for _ in range(2))) == ["done"] * 2
    assert count(world, Login, customer) == 2


def test_reset_link_is_void_after_an_hour_or_once_one_was_used(world: World) -> None:
    customer = world.sign_up()
    first, second, third = (link(world, customer) for _ in range(3))
    assert mailed(world, customer, "reset") == [third], "what was not sent yet is replaced"
    set_password(world, first)
    with pytest.raises(NotFound):
        set_password(world, second)
    late = link(world, customer)
    world.wait(60)
    with pytest.raises(NotFound):
        set_password(world, late)
    with pytest.raises(NotFound):
        set_password(world, "wrong")
    assert housekeeping.forget_old(world.service, now=world.clock()) >= 1
    assert count(world, AccountToken, customer) == 0


@on_sqlite
def test_link_of_one_purpose_serves_no_other(world: World) -> None:
    world = asking(world, confirm_email=True)
    customer = world.sign_up()
    (token,) = mailed(world, customer, "confirm")
    with pytest.raises(NotFound):
        set_password(world, token)
    with pytest.raises(NotFound):
        confirming.confirm(world.service, link(world, customer), now=world.clock())


@on_sqlite
def test_reset_of_an_unknown_address_is_answered_and_counted_alike(world: World) -> None:
    customer = world.sign_up()
    world = asking(world, login_limits=Limits(email=Limit(1, HOUR)))
    for email in (customer.email, "nobody@example.com"):
        ask = partial(passwords.ask_reset, world.service, email, network=NETWORK)
        ask(now=world.clock())
        with pytest.raises(TooManyAttempts):
            ask(now=world.clock())
    assert len(mailed(world, customer, "reset")) == 1
    assert count(world, AccountToken, customer) == 1


@on_sqlite
def test_only_hashes_of_tokens_are_stored(world: World) -> None:
    customer = world.sign_up()
    token = link(world, customer)
    stored = row(world, AccountToken, hashlib.sha256(token.encode()).hexdigest())
    assert token not in (stored.token_hash, stored.customer_id)
    assert stored.expires_at - stored.created_at == links.LASTS[TokenPurpose.RESET]


# what a new account waits for


@on_sqlite
def test_a_signup_that_waits_publishes_nothing(world: World) -> None:
    world = asking(world, confirm_email=True, approve_signups=True)
    customer = world.sign_up()
    assert customer.subscription_status == "trialing"
    assert customer.customer_id not in world.publish().tenants
    tenant = world.tenant(customer.customer_id)
    assert (tenant.generation, tenant.status, tenant.reason_code) == (
        0, "pending", "awaiting_confirmation",
    )  # fmt: skip
    assert count(world, Change, customer) == 0
    world.wait(24 * 60)
    assert not read_status(world.service, token=customer.status_token).late
    with pytest.raises(ChangeRefused, match="waits for its confirmation"):
        request_change(
            world.service, world.cell, customer.customer_id, ChangeKind.LICENSE, {}, actor="o"
        )
    assert len(mailed(world, customer, "welcome")) == len(mailed(world, customer, "confirm")) == 1
    assert is_listed(world, customer)
    check_invariants(world.service)


@on_sqlite
@pytest.mark.parametrize("order", ["confirm first", "approve first"])
def test_the_last_that_was_missing_starts_it(world: World, order: str) -> None:
    world = asking(world, confirm_email=True, approve_signups=True)
    customer = world.sign_up(time_zone="Europe/Berlin")
    customer_id = customer.customer_id
    before = {each.key: each.wrapped for each in secrets_of(world, customer_id)}
    world.wait(3 * 24 * 60)
    ask_again(world, customer)
    if order == "confirm first":
        confirm(world, customer)
        assert world.tenant(customer_id).reason_code == "awaiting_approval"
        assert world.tenant(customer_id).generation == 0
        assert approve(world, customer)
    else:
        assert not approve(world, customer)
        assert world.tenant(customer_id).reason_code == "awaiting_confirmation"
        confirm(world, customer)
    tenant = world.tenant(customer_id)
    assert (tenant.generation, tenant.reason_code) == (1, "pending")
    ends = day_ends(world.clock(), "Europe/Berlin", after=world.service.product.trial.days)
    assert row(world, Subscription, customer_id).trial_ends_at == ends > customer.trial_ends_at
    assert row(world, LicenseRow, tenant.approved["license_id"]).expires_at == ends
    assert {each.key: each.wrapped for each in secrets_of(world, customer_id)} == before
    enter(world, customer)
    assert customer.customer_id in world.publish().tenants
    assert not is_listed(world, customer)
    check_invariants(world.service)


@on_sqlite
def test_what_was_paid_for_while_it_waited_is_there_with_the_release(world: World) -> None:
    world = asking(world, approve_signups=True)
    customer = world.sign_up()
    paid = Event(customer.customer_id, EventKind.PAID, world.clock(), plan="professional")
    tell(world.service, Told(paid, "paid", "operator", customer_id=customer.customer_id))
    assert world.tenant(customer.customer_id).generation == 0
    approve(world, customer)
    follow_due(world.service, now=world.clock())
    approved = world.tenant(customer.customer_id).approved
    assert approved["plan"] == "professional"
    assert row(world, LicenseRow, approved["license_id"]).kind == "paid"


@on_sqlite
def test_what_was_cancelled_while_it_waited_ends_with_the_trial_of_the_release(
    world: World,
) -> None:
    world = asking(world, approve_signups=True)
    customer = world.sign_up()
    assert not choices.cancel(world.service, customer.customer_id), "nothing has begun"
    cancelled = Event(customer.customer_id, EventKind.CANCELLED, world.clock())
    tell(world.service, Told(cancelled, "cancelled", "operator", customer_id=customer.customer_id))
    world.wait(60 * 24 * 60)
    approve(world, customer)
    follow_due(world.service, now=world.clock())
    subscription = row(world, Subscription, customer.customer_id)
    assert subscription.ends_at == subscription.trial_ends_at > world.clock()
    assert world.tenant(customer.customer_id).approved["state"] == "active"


def secrets_of(world: World, customer_id: str) -> list[Secret]:
    with world.service.database.read() as session:
        return [*session.scalars(select(Secret).where(Secret.customer_id == customer_id))]


def test_racing_confirmation_and_approval_start_it_once(world: World) -> None:
    world = asking(world, confirm_email=True, approve_signups=True)
    customer = world.sign_up()
    said = at_once(lambda: confirm(world, customer), lambda: approve(world, customer))
    assert said == ["done", "done"]
    assert world.tenant(customer.customer_id).generation == 1
    check_invariants(world.service)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_released_signup_waits_for_its_review(tmp_path: Any, database_url: str) -> None:
    world = make_world(
        tmp_path, database_url, approve_signups=True, cell={"review_signup": "review"}
    )
    customer = world.sign_up()
    assert count(world, Change, customer) == 0
    assert approve(world, customer)
    assert (world.tenant(customer.customer_id).generation, count(world, Change, customer)) == (0, 1)
    with pytest.raises(ChangeRefused):
        approve(world, customer)


@on_sqlite
def test_declined_signup_is_told_and_may_be_taken_back(world: World) -> None:
    world = asking(world, approve_signups=True)
    customer = world.sign_up()
    releasing.decline(world.service, customer.customer_id, actor="operator")
    tenant = world.tenant(customer.customer_id)
    assert (tenant.status, tenant.reason_code) == ("awaiting_review", "declined")
    assert len(mailed(world, customer, "declined")) == 1
    with pytest.raises(ChangeRefused):
        releasing.decline(world.service, customer.customer_id, actor="operator")
    assert not is_listed(world, customer)
    assert approve(world, customer)
    assert customer.customer_id in world.publish().tenants
    check_invariants(world.service)


@on_sqlite
def test_a_second_decline_is_told_where_the_first_was_not_sent(world: World) -> None:
    world = asking(world, confirm_email=True, approve_signups=True)
    customer = world.sign_up()
    releasing.decline(world.service, customer.customer_id, actor="operator")
    assert mailed(world, customer, "confirm") == []
    assert not approve(world, customer)
    assert mailed(world, customer, "declined") == []
    releasing.decline(world.service, customer.customer_id, actor="operator")
    assert len(mailed(world, customer, "declined")) == 1


def test_confirmation_is_sent_again_until_it_is_there(world: World) -> None:
    world = asking(world, confirm_email=True)
    customer = world.sign_up()
    (first,) = mailed(world, customer, "confirm")
    ask_again(world, customer)
    with pytest.raises(NotFound):
        confirming.has_confirmed(world.service, first, now=world.clock())
    at_once(lambda: confirm(world, customer), lambda: confirm(world, customer))
    ask_again(world, customer)
    assert len(mailed(world, customer, "confirm")) == 1
    assert world.tenant(customer.customer_id).generation == 1


@on_sqlite
def test_reset_confirms_the_address_too(world: World) -> None:
    world = asking(world, confirm_email=True)
    customer = world.sign_up()
    set_password(world, link(world, customer))
    assert world.tenant(customer.customer_id).generation == 1


@on_sqlite
def test_first_reset_leaves_nothing_to_who_signed_up_with_the_address(world: World) -> None:
    customer = world.sign_up()
    set_password(world, link(world, customer))
    with pytest.raises(NotFound):
        read_status(world.service, token=customer.status_token)
    (welcomed,) = mailed(world, customer, "welcome")
    set_password(world, link(world, customer))
    shown = read_status(world.service, token=welcomed)
    assert shown.customer_id == customer.customer_id, "it is known whose the address is"


@on_sqlite
def test_nobody_approves_who_is_not_there_or_runs(world: World) -> None:
    with pytest.raises(NotFound):
        releasing.approve(world.service, "cust-nobody", actor="operator")
    with pytest.raises(ChangeRefused):
        approve(world, world.sign_up())

"""What is told of a subscription, and what comes of it in Git: once, whole, in any order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import permutations
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from tenantry.adapters.database.tables import (
    Audit,
    BillingEvent,
    Change,
    LicenseRow,
    Outbox,
    Subscription,
    Tenant,
)
from tenantry.cli.main import cli
from tenantry.core.mail import MailKind
from tenantry.core.model import State
from tenantry.core.review import DEFAULTS, ChangeKind, Mode, Outcome, Policy
from tenantry.core.subscription import Event, EventKind, Stage
from tenantry.flows.mailing.letters import write
from tenantry.flows.reviewing.changes import request_change
from tenantry.flows.reviewing.waiting import end, waiting
from tenantry.flows.rows import locked
from tenantry.flows.subscriptions import decisions, events
from tenantry.flows.subscriptions.booking import BILLING, CUSTOMER
from tenantry.flows.subscriptions.events import Told, tell
from tenantry.flows.subscriptions.following import AFTER_FAILURE, follow_due
from tests import migrated
from tests.invariants import check_invariants
from tests.migrated import on_sqlite
from tests.system.reviewer import Person, newest, review
from tests.system.world import World, make_world

PRO = "professional"


def told(world: World, customer_id: str, kind: EventKind, **said: Any) -> Told:
    """Of this moment, by the payment provider."""
    at = said.pop("at", None) or world.clock()
    own_id = said.pop("id", f"{kind}-{at.isoformat()}")
    event = Event(own_id, kind, at, **{"receipt": own_id, **said})
    return Told(event, f"test.{kind}", BILLING, customer_id=customer_id)


def pay(world: World, customer_id: str, plan: str | None = None, days: int = 30) -> bool:
    until = world.clock() + timedelta(days=days)
    return tell(world.service, told(world, customer_id, EventKind.PAID, plan=plan, until=until))


def stands(world: World, customer_id: str) -> tuple[Any, ...]:
    """The subscription's row, and what main is to show."""
    own = {
        "customer_id",
        "created_at",
        "trial_ends_at",
        "look_at",
        "looked_at",
    }  # of whoever has signed up
    columns = [each for each in Subscription.__table__.columns if each.name not in own]
    with world.service.database.read() as session:
        row = session.execute(select(*columns).filter_by(customer_id=customer_id)).one()
        approved = world.tenant(customer_id).approved
        license_row = session.get_one(LicenseRow, approved["license_id"])
        return (*row, approved["plan"], approved["state"], license_row.kind, license_row.plan)


def subscription(world: World, customer_id: str) -> Subscription:
    with world.service.database.read() as session:
        return session.get_one(Subscription, customer_id)


def mails(world: World, customer_id: str, kind: MailKind) -> int:
    with world.service.database.read() as session:
        rows = select(Outbox).filter_by(customer_id=customer_id, kind=kind, withheld_at=None)
        return len(session.scalars(rows).all())


def pass_days(world: World, days: float) -> None:
    """What is due meanwhile happens then, day by day."""
    for _ in range(int(days)):
        world.wait(24 * 60)
        follow_due(world.service, now=world.clock())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """For tests in which no day passes."""
    folder = tmp_path_factory.mktemp("shared")
    world = make_world(folder, migrated.bring_up(f"sqlite:///{folder}/tenantry.db"))
    yield world
    check_invariants(world.service)
    world.service.database.close()


@pytest.fixture
def newcomer(shared: World) -> str:
    return shared.sign_up(time_zone="Europe/Berlin").customer_id


@pytest.fixture
def customer(world: World) -> str:
    return world.sign_up(time_zone="Europe/Berlin").customer_id


@on_sqlite
def test_who_pays_has_plan_sizes_and_license_in_one_commit(world: World, customer: str) -> None:
    world.publish()
    before = len(world.tenant_commits())
    assert pay(world, customer, PRO)
    world.publish()
    assert len(world.tenant_commits()) == before + 1
    shown = world.git("show", f"main:{world.folder_of(customer)}/kustomization.yaml")
    assert f"plans/{PRO}" in shown
    assert stands(world, customer)[-4:] == (PRO, State.ACTIVE, "paid", PRO)
    assert world.tenant(customer).approved["volumes"]["postgres-data"] == "20Gi"
    assert mails(world, customer, MailKind.PAYMENT_RECEIVED) == 1


@on_sqlite
def test_what_a_clock_did_that_was_far_ahead_is_taken_back(world: World, customer: str) -> None:
    """And nothing that it had said is said again when it is true."""
    world.publish()
    right = world.clock.time
    world.clock.time += timedelta(days=16)
    follow_due(world.service, now=world.clock())
    assert world.tenant(customer).approved["state"] == State.READ_ONLY
    world.clock.time = right + timedelta(minutes=1)
    assert follow_due(world.service, now=world.clock()) == 1
    assert world.tenant(customer).approved["state"] == State.ACTIVE
    assert follow_due(world.service, now=world.clock()) == 0
    pass_days(world, 16)
    assert world.tenant(customer).approved["state"] == State.READ_ONLY
    assert mails(world, customer, MailKind.TRIAL_ENDED) == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer
def test_whom_another_worker_follows_is_left_to_it(world: World, customer: str) -> None:
    world.clock.time += timedelta(days=20)
    with world.service.database.write() as session:
        locked(session, [customer])
        assert follow_due(world.service, now=world.clock()) == 0
    assert follow_due(world.service, now=world.clock()) == 1


@on_sqlite
def test_who_pays_late_is_back_in_one_commit(world: World, customer: str) -> None:
    pass_days(world, 20)
    assert world.tenant(customer).approved["state"] == State.SUSPENDED
    world.publish()
    before = len(world.tenant_commits())
    assert pay(world, customer, PRO)
    world.publish()
    assert len(world.tenant_commits()) == before + 1
    assert stands(world, customer)[-4:] == (PRO, State.ACTIVE, "paid", PRO)
    assert subscription(world, customer).status == Stage.ACTIVE
    assert world.publish().pushes == 0


def test_in_any_order_and_twice_it_ends_the_same(shared: World) -> None:
    start = shared.clock()
    story: list[dict[str, Any]] = [
        {"kind": EventKind.PLAN, "plan": "enterprise"},
        {"kind": EventKind.PAID, "until": start + timedelta(days=30)},
        {"kind": EventKind.PLAN, "plan": PRO},
        {"kind": EventKind.CANCELLED},
    ]
    ends = set()
    for order in list(permutations(range(len(story))))[::5]:  # of all, tests/unit/test_billing.py
        customer_id = shared.sign_up().customer_id
        for each in (*order, *order):
            at = start + timedelta(minutes=each)
            own_id = f"{customer_id}-{each}"
            tell(shared.service, told(shared, customer_id, **story[each], id=own_id, at=at))
        ends.add(stands(shared, customer_id))
    assert [end[-4:] for end in ends] == [(PRO, State.ACTIVE, "paid", PRO)], ends


def test_two_at_once_are_both_taken_up_and_one_twice_is_one(world: World, customer: str) -> None:
    until = world.clock() + timedelta(days=30)
    one = told(world, customer, EventKind.PAID, id="one", until=until)
    other = told(world, customer, EventKind.PLAN, id="other", plan=PRO)
    said: list[bool] = []
    barrier = Barrier(3)

    def send(each: Told) -> None:
        barrier.wait()
        said.append(tell(world.service, each))

    threads = [Thread(target=send, args=[each]) for each in (one, one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == [False, True, True]
    assert stands(world, customer)[-4:] == (PRO, State.ACTIVE, "paid", PRO)
    world.publish()


@on_sqlite
def test_two_operators_at_once_book_one_payment_and_another_later_is_another(
    world: World, customer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_looked = Barrier(2)

    def tell_with_the_other(*arguments: Any) -> bool:
        both_looked.wait(20)
        return tell(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(decisions, "tell", tell_with_the_other)
        pay = partial(decisions.pay, world.service, customer, PRO, None)
        threads = [Thread(target=pay) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert mails(world, customer, MailKind.PAYMENT_RECEIVED) == 1
    decisions.pay(world.service, customer, PRO, None)
    assert mails(world, customer, MailKind.PAYMENT_RECEIVED) == 2


def test_a_crash_leaves_nothing_behind(
    world: World, customer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = world.clock() + timedelta(days=30)
    both = [
        told(world, customer, EventKind.PLAN, id="m/plan", plan=PRO),
        told(world, customer, EventKind.PAID, id="m/paid", until=until),
    ]
    before = stands(world, customer)

    def crash(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(events, "follow", crash)
        with suppress(ZeroDivisionError):
            tell(world.service, *both)
    assert stands(world, customer) == before
    assert tell(world.service, *both)
    assert stands(world, customer)[-4:] == (PRO, State.ACTIVE, "paid", PRO)
    world.publish()


def test_who_comes_back_under_another_name_is_known(world: World, customer: str) -> None:
    """Messages may come before the one that says whom they mean."""

    def link(name: str, minutes: int) -> None:
        at = world.clock.time + timedelta(minutes=minutes)
        linked = told(world, customer, EventKind.LINKED, id=f"link-{name}", at=at)
        tell(world.service, Told(linked.event, "t", BILLING, customer, name))

    def paid(name: str, number: int, plan: str) -> None:
        until = world.clock() + timedelta(days=30 * number)
        event = told(world, "", EventKind.PAID, id=f"paid-{number}", plan=plan, until=until).event
        assert tell(world.service, Told(event, "t", BILLING, billing_customer=name))

    paid("cus_old", 1, PRO)
    assert stands(world, customer)[-4:] == ("starter", State.ACTIVE, "trial", "starter")
    link("cus_new", 5)
    link("cus_old", 1)
    assert stands(world, customer)[-4:] == (PRO, State.ACTIVE, "paid", PRO)
    paid("cus_new", 2, "enterprise")
    assert world.tenant(customer).approved["plan"] == "enterprise"
    assert subscription(world, customer).billing_customer == "cus_new"
    assert mails(world, customer, MailKind.PAYMENT_RECEIVED) == 2
    world.publish()


def test_what_names_nobody_is_laid_to_nobody(shared: World, newcomer: str) -> None:
    linked = told(shared, newcomer, EventKind.LINKED).event
    tell(shared.service, Told(linked, "t", BILLING, newcomer, "cus_1"))
    with shared.service.database.write() as session:
        events.forget(session, newcomer)
    riddle = told(shared, "", EventKind.OTHER, id="riddle").event
    assert tell(shared.service, Told(riddle, "t", BILLING, wrapped=b"wrapped"))
    with shared.service.database.read() as session:
        row = session.scalars(select(BillingEvent).filter_by(external_id="riddle")).one()
    assert (row.customer_id, row.wrapped) == (None, b"wrapped")


def test_a_plan_that_waited_goes_on_once_it_is_paid_for(shared: World, newcomer: str) -> None:
    tell(shared.service, told(shared, newcomer, EventKind.PLAN, plan=PRO))
    assert shared.tenant(newcomer).approved["plan"] == "starter"
    pay(shared, newcomer)
    assert stands(shared, newcomer)[-4:] == (PRO, State.ACTIVE, "paid", PRO)
    assert newest(shared, newcomer).outcome == Outcome.APPLIED
    shared.publish()


@on_sqlite
def test_where_all_is_reviewed_a_plan_waits_and_nobody_is_suspended(
    world: World, customer: str
) -> None:
    strict = replace(world.cell, policy=Policy(everything=True))
    reviewed = replace(world, service=replace(world.service, cells={"main": strict}))
    assert pay(reviewed, customer, PRO)
    assert newest(reviewed, customer).outcome is None
    pass_days(reviewed, 25)
    assert stands(reviewed, customer)[-4:] == ("starter", State.ACTIVE, "trial", "starter")
    assert subscription(reviewed, customer).status == Stage.ACTIVE
    assert subscription(reviewed, customer).asked_state == State.ACTIVE


@on_sqlite
def test_what_an_operator_asked_for_waits_for_its_review_and_for_no_payment(
    world: World, customer: str
) -> None:
    strict = replace(world.cell, policy=Policy(everything=True))
    reviewed = replace(world, service=replace(world.service, cells={"main": strict}))
    pass_days(world, 15)
    set_state(reviewed, customer, State.SUSPENDED)
    pass_days(reviewed, 3)  # its trial's days are over
    pay(reviewed, customer)
    assert states_asked_for(reviewed, customer) == [("operator", State.SUSPENDED)]
    with world.service.database.write() as session:
        (change,) = session.scalars(select(Change).filter_by(kind="state", outcome=None))
        end(change, Outcome.DECLINED, "reviewer", world.clock())
    pass_days(reviewed, 1)
    assert states_asked_for(reviewed, customer) == [("lifecycle", State.ACTIVE)]


@on_sqlite
def test_who_was_not_woken_in_time_is_woken_by_the_next_payment(
    world: World, customer: str
) -> None:
    strict = replace(world.cell, policy=Policy(everything=True))
    reviewed = replace(world, service=replace(world.service, cells={"main": strict}))
    pass_days(world, 20)
    pay(reviewed, customer, days=1)
    assert states_asked_for(reviewed, customer) == [("lifecycle", State.ACTIVE)]
    pass_days(reviewed, 25)  # what was paid is over before anybody looked
    assert states_asked_for(reviewed, customer) == []
    pay(reviewed, customer)
    assert states_asked_for(reviewed, customer) == [("lifecycle", State.ACTIVE)]


def plans_asked_for(world: World, customer_id: str) -> list[str]:
    """Of what waits."""
    with world.service.database.read() as session:
        waits = waiting(session, customer_id)
        return [each.fields["plan"] for each in waits if each.kind == ChangeKind.PLAN]


def states_asked_for(world: World, customer_id: str) -> list[tuple[str, str]]:
    """Of what waits."""
    with world.service.database.read() as session:
        waits = [each for each in waiting(session, customer_id) if each.kind == ChangeKind.STATE]
        return [(each.actor, each.fields["state"]) for each in waits]


@on_sqlite
def test_who_pays_while_the_signup_waits_gets_the_plan_with_it(
    tmp_path: Path, database_url: str
) -> None:
    world = make_world(tmp_path, database_url, cell={"review_signup": "review"})
    customer_id = world.sign_up().customer_id
    review(world)
    assert pay(world, customer_id, PRO)
    Person(world).merge(f"tenantry/{customer_id}")
    review(world)
    assert stands(world, customer_id)[-4:] == ("starter", State.ACTIVE, "trial", "starter")
    pass_days(world, 1)
    assert stands(world, customer_id)[-4:] == (PRO, State.ACTIVE, "paid", PRO)
    world.publish()
    check_invariants(world.service)
    world.service.database.close()


def test_one_payer_may_pay_for_two_customers(shared: World, newcomer: str) -> None:
    other = shared.sign_up().customer_id
    for customer_id, name in ((newcomer, "sub_1"), (other, "sub_2")):
        linked = told(shared, customer_id, EventKind.LINKED, subscription=name).event
        tell(shared.service, Told(linked, "t", BILLING, customer_id, "cus_both"))
    for name in ("sub_1", "sub_2"):
        paid = told(shared, "", EventKind.PAID, subscription=name).event
        tell(shared.service, Told(paid, "t", BILLING, billing_customer="cus_both"))
    assert subscription(shared, newcomer).paid_since is not None
    assert subscription(shared, other).paid_since is not None


@dataclass
class Payer:
    """Somebody who pays for subscriptions `sub_…`, and whom the provider knows by this name."""

    world: World
    name: str

    def link(self, customer_id: str, of: str) -> bool:
        at, own = self.world.clock(), f"{of}_{self.name}"
        linked = Event(f"link-{own}", EventKind.LINKED, at, subscription=own)
        return tell(self.world.service, Told(linked, "t", BILLING, customer_id, self.name))

    def say(self, kind: EventKind, of: str, plan: str | None = None) -> None:
        at, own = self.world.clock(), f"{of}_{self.name}"
        until = at + timedelta(days=30) if kind == EventKind.PAID else None
        event = Event(f"{kind}-{own}", kind, at, plan, until, own, own)
        assert tell(self.world.service, Told(event, "t", BILLING, billing_customer=self.name))


@pytest.fixture
def payer(shared: World, newcomer: str) -> Payer:
    """Known to pay for the newcomer."""
    payer = Payer(shared, f"cus_{newcomer}")
    payer.link(newcomer, "sub_1")
    return payer


def told_to(world: World, customer_id: str, kind: EventKind) -> list[BillingEvent]:
    with world.service.database.read() as session:
        rows = select(BillingEvent).filter_by(customer_id=customer_id, kind=kind)
        return list(session.scalars(rows))


@pytest.mark.parametrize(
    "early",
    [[EventKind.PAID], [EventKind.PLAN], [EventKind.PLAN, EventKind.PAID]],
    ids=" and ".join,
)
@pytest.mark.parametrize("has_paid", [True, False])
def test_what_came_before_its_link_is_of_whom_the_link_names(
    shared: World, newcomer: str, payer: Payer, has_paid: bool, early: list[EventKind]
) -> None:
    """Although the payer was known already, as another customer."""
    other, is_paid = shared.sign_up().customer_id, EventKind.PAID in early
    if has_paid:
        payer.say(EventKind.PAID, "sub_1", PRO)
    before = stands(shared, newcomer)
    shared.wait(1)
    for kind in early:
        payer.say(kind, "sub_2", "enterprise")
    bought = ("enterprise", State.ACTIVE, "paid", "enterprise")
    assert (stands(shared, newcomer)[-4:] == bought) == is_paid
    assert subscription(shared, other).paid_since is None
    assert payer.link(other, "sub_2")
    assert (stands(shared, other)[-4:] == bought) == is_paid
    assert mails(shared, other, MailKind.PAYMENT_RECEIVED) == is_paid
    assert plans_asked_for(shared, other) == ([] if is_paid else ["enterprise"])
    after = stands(shared, newcomer)
    if has_paid or not is_paid:
        assert after == before
        assert plans_asked_for(shared, newcomer) == []
    else:
        stage = subscription(shared, newcomer).status
        assert (stage, subscription(shared, newcomer).paid_since) == (Stage.TRIALING, None)
        assert plans_asked_for(shared, newcomer) == ["starter"]  # nobody paid for that change
    assert not payer.link(other, "sub_2")  # and again, it is known
    assert stands(shared, newcomer) == after


def test_a_riddle_goes_where_its_link_says_and_nobody_is_told_of_it(
    shared: World, newcomer: str, payer: Payer
) -> None:
    other = shared.sign_up().customer_id
    payer.say(EventKind.OTHER, "sub_2")
    assert len(told_to(shared, newcomer, EventKind.OTHER)) == 1
    payer.link(other, "sub_2")
    assert told_to(shared, newcomer, EventKind.OTHER) == []
    assert len(told_to(shared, other, EventKind.OTHER)) == 1
    with shared.service.database.read() as session:
        told_of = select(Audit).filter_by(customer_id=newcomer, action="subscription.put_right")
        assert session.scalars(told_of).all() == []


def test_what_was_decided_after_a_riddle_was_decided_before_the_payment(
    shared: World, newcomer: str, payer: Payer
) -> None:
    payer.say(EventKind.OTHER, "sub_2")
    policy = Policy(modes={**DEFAULTS, ChangeKind.PLAN: Mode.DIRECT})
    direct, kind = replace(shared.cell, policy=policy), ChangeKind.PLAN
    request_change(shared.service, direct, newcomer, kind, {"plan": PRO}, actor="operator")
    payer.say(EventKind.PAID, "sub_2", "enterprise")
    payer.link(shared.sign_up().customer_id, "sub_2")
    assert plans_asked_for(shared, newcomer) == [PRO]


@on_sqlite
def test_an_old_subscription_that_ends_leaves_the_new_one(world: World, customer: str) -> None:
    def say(kind: EventKind, of: str, **said: Any) -> None:
        tell(world.service, told(world, customer, kind, subscription=of, **said))

    start = world.clock()
    say(EventKind.PAID, "sub_old", plan="starter", until=start + timedelta(days=35))
    world.wait(20 * 24 * 60)
    say(EventKind.PAID, "sub_new", plan=PRO, until=start + timedelta(days=50))
    world.wait(15 * 24 * 60)
    say(EventKind.CANCELLED, "sub_old", until=world.clock())
    assert subscription(world, customer).status == Stage.ACTIVE
    assert stands(world, customer)[-4:] == (PRO, State.ACTIVE, "paid", PRO)
    world.publish()


def test_only_who_cancelled_is_told_that_they_asked_for_it(shared: World) -> None:
    for actor in (CUSTOMER, BILLING):
        customer_id = shared.sign_up().customer_id
        cancelled = told(shared, customer_id, EventKind.CANCELLED, id=customer_id)
        tell(shared.service, replace(cancelled, actor=actor))
        with shared.service.database.read() as session:
            rows = select(Outbox).filter_by(customer_id=customer_id, kind=MailKind.CANCELLED)
            letter = write(shared.service, session, session.scalars(rows).one(), shared.clock())
        for text in (letter.text, letter.html):
            assert ("as you asked" in text) == (actor == CUSTOMER)


def test_there_is_one_thank_you_for_an_invoice_and_none_for_nothing(
    shared: World, newcomer: str
) -> None:
    for number, receipt in enumerate(("in_1", "in_1", None, "in_2")):
        tell(
            shared.service, told(shared, newcomer, EventKind.PAID, id=f"{number}", receipt=receipt)
        )
    assert mails(shared, newcomer, MailKind.PAYMENT_RECEIVED) == 2


def test_a_plan_that_waits_is_withdrawn_when_it_is_taken_back(shared: World, newcomer: str) -> None:
    tell(shared.service, told(shared, newcomer, EventKind.PLAN, plan=PRO))
    assert newest(shared, newcomer).outcome is None
    tell(shared.service, told(shared, newcomer, EventKind.PLAN, plan="starter"))
    assert newest(shared, newcomer).outcome == Outcome.WITHDRAWN


def set_state(world: World, customer_id: str, state: State) -> None:
    fields = {"state": state.value}
    request_change(
        world.service, world.cell, customer_id, ChangeKind.STATE, fields, actor="operator"
    )
    follow_due(world.service, now=world.clock())


def has_license(world: World, customer_id: str) -> LicenseRow:
    with world.service.database.read() as session:
        license_id = world.tenant(customer_id).approved["license_id"]
        return session.get_one(LicenseRow, license_id)


@on_sqlite
@pytest.mark.parametrize("is_paid", [False, True])
def test_who_was_woken_runs_with_a_license_that_holds(
    world: World, customer: str, is_paid: bool
) -> None:
    if is_paid:
        pay(world, customer)
    for _ in range(2):  # it sleeps through the first steps
        world.wait(40 * 24 * 60)
        follow_due(world.service, now=world.clock())
    assert world.tenant(customer).approved["state"] == State.SUSPENDED
    set_state(world, customer, State.ACTIVE)
    assert world.tenant(customer).approved["state"] == State.ACTIVE
    for _ in range(3):
        row = has_license(world, customer)
        assert (row.kind, row.expires_at > world.clock()) == ("paid" if is_paid else "trial", True)
        world.wait(50 * 24 * 60)
        follow_due(world.service, now=world.clock())


@on_sqlite
def test_what_waits_to_be_stopped_runs_with_a_license_that_holds(
    world: World, customer: str
) -> None:
    slow = replace(world.cell, policy=Policy(modes={**DEFAULTS, ChangeKind.STATE: Mode.REVIEW}))
    reviewed = replace(world, service=replace(world.service, cells={"main": slow}))
    pass_days(reviewed, 20)
    assert world.tenant(customer).approved["state"] == State.ACTIVE
    assert has_license(reviewed, customer).expires_at > world.clock() + timedelta(days=30)


@on_sqlite
def test_one_that_cannot_be_followed_keeps_no_other_waiting(world: World, customer: str) -> None:
    with world.service.database.write() as session:
        session.get_one(Tenant, customer).cell = "taken-out-of-the-settings"
    other = world.sign_up(time_zone="Europe/Berlin").customer_id
    world.publish()
    world.wait(20 * 24 * 60)
    now = world.clock()
    follow_due(world.service, now=now)
    assert subscription(world, customer).look_at == now + AFTER_FAILURE
    assert world.tenant(other).approved["state"] == State.SUSPENDED
    with world.service.database.write() as session:
        session.get_one(Tenant, customer).cell = "main"


def test_a_smaller_plan_keeps_its_volumes(shared: World, newcomer: str) -> None:
    pay(shared, newcomer, "enterprise")
    pay(shared, newcomer, "starter", days=31)
    tenant = shared.tenant(newcomer)
    assert tenant.approved["plan"] == "starter"
    assert tenant.approved["volumes"]["postgres-data"] == "100Gi"
    shared.publish()


# Commands


Run = Callable[..., Result]


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Run:
    for module in ("changes", "subscriptions"):
        opened = f"tenantry.cli.{module}.opened"
        monkeypatch.setattr(opened, lambda: nullcontext(world.service))
    return lambda *arguments: CliRunner().invoke(cli, ["tenants", *arguments])


def shown(run: Run, *arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    found: dict[str, Any] = json.loads(result.output.splitlines()[-1])  # after what is logged
    return found


@on_sqlite
def test_an_operator_books_cancels_and_resumes(world: World, customer: str, run: Run) -> None:
    paid = shown(run, "plan", customer, PRO, "--paid", "--until", "2026-12-31")
    assert paid["booking"]["paid_until"] == "2026-12-31T23:00:00+00:00"  # in Berlin
    assert (paid["stage"], paid["events"][0]["actor"]) == ("active", "operator")
    assert shown(run, "cancel", customer)["booking"]["ends_at"] == "2026-12-31T23:00:00+00:00"
    at_once = shown(run, "cancel", customer, "--at-once")
    assert at_once["booking"]["ends_at"] == "2026-11-23T23:00:00+00:00"
    assert at_once["ahead"][0]["state"] == "read-only"
    resumed = shown(run, "resume", customer)
    assert (resumed["stage"], resumed["booking"]["cancelled_at"]) == ("active", None)
    assert [each["kind"] for each in resumed["events"]] == [
        "paid", "cancelled", "cancelled", "resumed"
    ]  # fmt: skip


@on_sqlite
def test_what_is_shown_of_a_subscription_is_a_line_for_each_thing(
    world: World, customer: str, run: Run
) -> None:
    trial = run("subscription", customer).output
    assert "  stays trialing, instance active, mail trial_ending\n" in trial
    assert "  becomes read_only, instance read-only, mail trial_ended\n" in trial
    assert "  stays read_only, instance read-only, mail read_only_over\n" in trial
    for arguments, stage in (
        (["plan", customer, PRO, "--paid", "--until", "2026-12-31"], "active"),
        (["cancel", customer], "cancelled"),
        (["resume", customer], "active"),
        (["subscription", customer], "active"),
    ):
        text = run(*arguments).output
        assert "\ufffd" not in text
        assert f"{customer}  {stage}" in text.splitlines()
        assert "  paid_until: 2026-12-31 23:00 UTC" in text.splitlines()
        assert "paid professional until 2026-12-31 23:00 UTC, by operator: operator:" in text


REFUSED = [
    (["plan", "{}", "huge", "--paid"], "there is no plan 'huge'"),
    (["plan", "{}", PRO, "--paid", "--until", "2026-11-22"], "is over"),
    (["plan", "{}", PRO, "--paid", "--until", "9999-12-31"], "too far away"),
    (["plan", "{}", PRO, "--paid", "--until", "soon"], "is no date"),
    (["plan", "{}", PRO, "--paid", "--until", "2026-12-31T10:00:00"], "offset"),
    (["plan", "{}", PRO, "--until", "2026-12-31"], "--paid"),
    (["cancel", "{}", "--at-once"], "has a trial"),
    (["resume", "{}"], "is not cancelled"),
    (["subscription", "cust-bcdfghjkmn"], "there is no customer"),
    (["cancel", "cust-bcdfghjkmn"], "there is no customer"),
]


@on_sqlite
def test_what_cannot_be_booked_is_refused(world: World, customer: str, run: Run) -> None:
    before = stands(world, customer)
    for arguments, error in REFUSED:
        result = run(*[each.format(customer) for each in arguments])
        assert result.exit_code != 0, arguments
        assert error in f"{result.output} {result.exception}", arguments
    assert stands(world, customer) == before

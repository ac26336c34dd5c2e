"""What is personal of a customer goes, all of it or nothing, and what stays goes on working."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from tenantry.adapters.database.base import Base
from tenantry.adapters.database.tables import (
    AccountToken,
    Audit,
    BillingEvent,
    Change,
    Customer,
    Login,
    Outbox,
    Subscription,
)
from tenantry.cli.main import cli
from tenantry.core.errors import ChangeRefused, NotFound
from tenantry.core.model import State
from tenantry.core.review import ChangeKind
from tenantry.core.signup import parse_signup
from tenantry.core.subscription import Event, EventKind, Stage
from tenantry.flows import erasing
from tenantry.flows.accounts import releasing
from tenantry.flows.erasing import erase
from tenantry.flows.gauges import count_refused_mail
from tenantry.flows.mailing.sending import send_due
from tenantry.flows.reviewing.changes import request_change
from tenantry.flows.service import Service
from tenantry.flows.signups.signup import Attempt, signup
from tenantry.flows.status import read_status
from tenantry.flows.subscriptions.events import Told, tell
from tenantry.flows.subscriptions.following import follow_due
from tests.invariants import check_invariants
from tests.leaks import forms
from tests.migrated import on_sqlite
from tests.system.console import Operator
from tests.system.world import PASSWORD, World, make_world

EMAIL, COMPANY, NAME = "Jörg.Äther@example.com", "Äther & Söhne GmbH", "Jörg Äther"
BILLING, AGENT, ZONE = "cus_Personal123", "Firefox on a Linux", "Pacific/Chatham"
WORDS = "550 no such mailbox here"
PERSON = {
    "email": EMAIL, "password": PASSWORD, "company_name": COMPANY, "full_name": NAME,
    "time_zone": ZONE,
}  # fmt: skip


def sign_up(world: World) -> str:
    """A customer of whom everything is kept that ever may be."""
    request = parse_signup(PERSON, rules=world.service.password_rules)
    attempt = Attempt(key="the-key-of-a-browser")
    done = signup(world.service, request, now=world.clock(), attempt=attempt)
    return done.customer_id


def live(world: World, customer_id: str) -> None:
    """It is paid for, logged in to, written to in vain, and spoken of."""
    now = world.clock()
    events = [
        Told(Event("evt_1", EventKind.LINKED, now), "linked", "billing", customer_id, BILLING),
        Told(
            Event("evt_2", EventKind.OTHER, now), "strange", "billing", customer_id, BILLING,
            world.service.vault.wrap(EMAIL),
        ),
    ]  # fmt: skip
    for each in events:
        tell(world.service, each)
    later = now + timedelta(days=1)
    with world.service.database.write() as session:
        session.add(
            Login(
                token_hash="l" * 64, customer_id=customer_id, created_at=now, seen_at=now,
                expires_at=later, agent=AGENT,
            )
        )  # fmt: skip
        session.add(
            AccountToken(
                token_hash="t" * 64, customer_id=customer_id, purpose="reset", created_at=now,
                expires_at=later,
            )
        )  # fmt: skip
        for row in session.scalars(select(Outbox).where(Outbox.customer_id == customer_id)):
            row.refused_at, row.last_error = now, f"{WORDS}: {EMAIL}"


def ask(world: World, customer_id: str, kind: ChangeKind, **fields: str) -> None:
    request_change(world.service, world.cell, customer_id, kind, fields, actor="operator")


def suspend(world: World, customer_id: str) -> None:
    """By an operator, and shown."""
    ask(world, customer_id, ChangeKind.STATE, state="suspended")
    world.publish()


def at_rest(world: World) -> str:
    customer_id = sign_up(world)
    world.publish()
    live(world, customer_id)
    suspend(world, customer_id)
    return customer_id


def dump(service: Service) -> bytes:
    """Every row of every table as text, with all that is wrapped opened."""
    with service.database.read() as session:
        rows = [
            row for each in Base.metadata.sorted_tables for row in session.execute(select(each))
        ]
    return "\n".join(_text(service, value) for row in rows for value in row).encode()


def _text(service: Service, value: object) -> str:
    if isinstance(value, bytes):
        return service.vault.unwrap(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def personal(world: World) -> list[str]:
    """What is personal, in the forms that it is stored in."""
    request = parse_signup(PERSON, rules=world.service.password_rules)
    return [request.email, request.email_key, COMPANY, NAME, BILLING, AGENT, ZONE, WORDS]


def found(world: World) -> set[str]:
    """What of it stands anywhere in the database."""
    text = dump(world.service)
    return {each for each in personal(world) if any(form in text for form in forms(each))}


def standing(world: World, customer_id: str) -> str:
    return world.git("show", f"main:{world.folder_of(customer_id)}/tenant.json")


def test_everything_personal_is_gone_and_ids_and_dates_stay(world: World) -> None:
    customer_id = at_rest(world)
    assert found(world) == set(personal(world)), "the test looks for what is there"
    assert COMPANY in standing(world, customer_id)
    erase(world.service, customer_id, actor="operator")
    world.publish()
    assert found(world) == set()
    assert json.loads(standing(world, customer_id))["company"] == customer_id
    with world.service.database.read() as session:
        customer = session.get_one(Customer, customer_id)
        assert customer.created_at < (customer.erased_at or customer.created_at) < world.clock()
        audit = select(Audit.action).where(Audit.customer_id == customer_id)
        assert {"customer.signed_up", "customer.erased"} <= set(session.scalars(audit))


@on_sqlite
def test_what_stays_goes_on_working_and_the_address_is_free(world: World) -> None:
    customer_id = at_rest(world)
    erase(world.service, customer_id, actor="operator")
    world.publish()
    world.wait(60 * 24 * 60)
    follow_due(world.service, now=world.clock())
    assert send_due(world.service) == 0
    with world.service.database.read() as session:
        assert count_refused_mail(session) == 0, "there is nobody left to correct"
    assert list((world.folder / "data" / "mail").glob("*.eml")) == []
    told = Told(Event("evt_3", EventKind.PAID, world.clock()), "paid", "billing", customer_id)
    tell(world.service, told)
    assert world.tenant(customer_id).approved["state"] == State.SUSPENDED
    with pytest.raises(ChangeRefused, match="was erased"):
        ask(world, customer_id, ChangeKind.STATE, state="active")
    again = sign_up(world)
    assert again != customer_id
    assert again in world.publish().tenants


@on_sqlite
def test_an_erased_customer_is_not_followed_whatever_the_clock_said(world: World) -> None:
    customer_id, right = at_rest(world), world.clock.time
    world.clock.time += timedelta(days=30)
    with world.service.database.write() as session:  # as a change to its tenant does
        session.get_one(Subscription, customer_id).look_at = world.clock.time
    follow_due(world.service, now=world.clock())
    erase(world.service, customer_id, actor="operator")
    world.clock.time = right
    assert follow_due(world.service, now=world.clock()) == 0
    with world.service.database.write() as session:
        session.get_one(Subscription, customer_id).look_at = right
    assert follow_due(world.service, now=world.clock()) == 0
    with world.service.database.read() as session:
        row = session.get_one(Subscription, customer_id)
        assert (row.status, row.look_at, row.looked_at) == (Stage.CANCELLED, None, None)


@on_sqlite
def test_what_is_told_of_an_erased_customer_is_kept_without_names(world: World) -> None:
    customer_id = at_rest(world)
    erase(world.service, customer_id, actor="operator")
    wrapped = world.service.vault.wrap(EMAIL)
    event = Event("evt_9", EventKind.OTHER, world.clock())
    tell(world.service, Told(event, "strange", "billing", customer_id, BILLING, wrapped))
    with world.service.database.read() as session:
        row = session.scalars(select(BillingEvent).where(BillingEvent.external_id == "evt_9")).one()
        assert (row.billing_customer, row.wrapped) == (None, None)


@on_sqlite
def test_a_link_of_before_opens_nothing(world: World) -> None:
    done = world.sign_up()
    world.publish()
    assert read_status(world.service, token=done.status_token).customer_id == done.customer_id
    suspend(world, done.customer_id)
    erase(world.service, done.customer_id, actor="operator")
    for token in (done.status_token, done.customer_id, ""):
        with pytest.raises(NotFound):
            read_status(world.service, token=token)


def refusal(world: World, customer_id: str) -> str:
    """What to do before the customer can be erased."""
    with pytest.raises(ChangeRefused) as refused:
        erase(world.service, customer_id, actor="operator")
    return refused.value.remedy or ""


@on_sqlite
def test_an_instance_that_runs_or_may_come_back_is_not_erased(world: World) -> None:
    customer_id = sign_up(world)
    suspend_first = f"first `tenantry tenants state {customer_id} suspended`"
    assert refusal(world, customer_id) == suspend_first
    world.publish()
    assert refusal(world, customer_id) == suspend_first
    ask(world, customer_id, ChangeKind.STATE, state="suspended")
    assert "tenantry tenants list --behind" in refusal(world, customer_id)
    ask(world, customer_id, ChangeKind.PLAN, plan="professional")
    assert refusal(world, customer_id) == f"first `tenantry changes decline {customer_id}`"
    with pytest.raises(NotFound):
        erase(world.service, "cust-nobody", actor="operator")


@on_sqlite
def test_a_signup_that_waits_is_declined_first_and_then_never_approved(world: World) -> None:
    world = replace(world, service=replace(world.service, approve_signups=True))
    customer_id = sign_up(world)
    assert refusal(world, customer_id) == f"first `tenantry customers decline {customer_id}`"
    releasing.decline(world.service, customer_id, actor="operator")
    erase(world.service, customer_id, actor="operator")
    assert found(world) == set()
    with pytest.raises(NotFound):
        releasing.approve(world.service, customer_id, actor="operator")


def test_two_at_once_are_one_and_the_other_is_told(world: World) -> None:
    customer_id = at_rest(world)

    def one(_: int) -> str:
        try:
            erase(world.service, customer_id, actor="operator")
        except ChangeRefused as refused:
            return str(refused)
        return "erased"

    with ThreadPoolExecutor(2) as pool:
        first, second = sorted(pool.map(one, range(2)))
    assert (first.startswith(f"{customer_id} was erased on "), second) == (True, "erased")
    with world.service.database.read() as session:
        audit = select(Audit.id).where(Audit.action == "customer.erased")
        assert len(session.scalars(audit).all()) == 1


@on_sqlite
def test_a_crash_in_the_middle_leaves_everything(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer_id = at_rest(world)
    before = dump(world.service)

    def crash(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(erasing, "_forget_company", crash)
    with pytest.raises(ZeroDivisionError):
        erase(world.service, customer_id, actor="operator")
    assert dump(world.service) == before


@on_sqlite
def test_without_companies_in_git_it_never_was_there(tmp_path: Path, database_url: str) -> None:
    world = make_world(tmp_path, database_url, company_in_git=False)
    customer_id = at_rest(world)
    assert json.loads(standing(world, customer_id))["company"] == customer_id
    commits = world.tenant_commits()
    erase(world.service, customer_id, actor="operator")
    world.publish()
    assert world.tenant_commits() == commits
    assert COMPANY not in world.git("log", "--all", "-p", "--format=%B")
    check_invariants(world.service, canaries=[PASSWORD])
    world.service.database.close()


def run(world: World, *arguments: str, answer: str = "") -> Result:
    """A command on the same data."""
    runner = CliRunner(env=Operator(world).environment)
    return runner.invoke(cli, ["customers", "erase", *arguments], input=answer)


@on_sqlite
def test_the_command_asks_first_and_says_what_it_did(world: World) -> None:
    customer_id = sign_up(world)
    running = run(world, customer_id, answer="y\n")
    assert (isinstance(running.exception, ChangeRefused), running.output) == (True, "")
    world.publish()
    suspend(world, customer_id)
    refused = run(world, customer_id, answer="n\n")
    assert refused.exit_code == 1
    assert refused.output.startswith(f"Erase all that is personal of {customer_id} ({COMPANY}, ")
    assert EMAIL.partition("@")[0] in refused.output
    with world.service.database.read() as session:
        assert session.get_one(Customer, customer_id).erased_at is None
    told = run(world, customer_id, "--yes", "--json")
    assert json.loads(told.output.splitlines()[-1]) == {"customer_id": customer_id, "erased": True}
    again = run(world, customer_id, "--yes")
    assert isinstance(again.exception, ChangeRefused)
    with world.service.database.read() as session:
        assert session.get_one(Subscription, customer_id).look_at is None
        before = session.scalars(select(Change.before).where(Change.customer_id == customer_id))
        assert all(each["company"] == customer_id for each in before)

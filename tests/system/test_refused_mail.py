"""An address that a mail server refuses for good: believed, told, corrected, written to again."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import select
from structlog.testing import capture_logs

from tenantry.adapters.database.tables import Audit, Customer, Outbox
from tenantry.adapters.mail import Letter
from tenantry.cli import mail
from tenantry.core.errors import (
    ChangeRefused,
    EmailTaken,
    InvalidInput,
    MailError,
    MailRefused,
    MailUnreachable,
    NotFound,
    RecipientRefused,
)
from tenantry.core.mail import MailKind
from tenantry.core.model import TokenPurpose
from tenantry.flows import outbox
from tenantry.flows.accounts.confirming import confirm
from tenantry.flows.accounts.entry import WrongLogin, log_in
from tenantry.flows.accounts.links import LASTS, issue, send_link
from tenantry.flows.accounts.logins import list_logins, start_login
from tenantry.flows.accounts.passwords import enter_anew
from tenantry.flows.gauges import read_gauges
from tenantry.flows.mailing.correcting import correct_address, list_unsent, resend
from tenantry.flows.mailing.sending import CLAIMED_FOR, send_due
from tenantry.flows.signups.signup import SignedUp
from tenantry.flows.status import read_status
from tests.migrated import on_sqlite
from tests.system.world import PASSWORD, World

TAKEN = "right@example.com"
ANOTHER = "AnotherPass456"


@dataclass
class Server:
    """A mail server that answers some addresses with an error."""

    errors: dict[str, MailError] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)

    def send(self, letter: Letter, _: datetime) -> None:
        if letter.to in self.errors:
            raise self.errors[letter.to]
        self.letters.append(letter)

    def close(self) -> None:
        pass


@pytest.fixture
def server(world: World) -> Server:
    server = Server()
    world.service = replace(world.service, mailbox=server, support_mail="support@example.com")
    return server


@pytest.fixture
def refused(world: World, server: Server) -> SignedUp:
    """A customer whose welcome mail was refused."""
    signed_up = world.sign_up()
    server.errors[signed_up.email] = RecipientRefused("550 no such user")
    assert send(world) == 0
    return signed_up


def send(world: World) -> int:
    return send_due(world.service)


def put(world: World, signed_up: SignedUp, kind: MailKind) -> None:
    with world.service.database.write() as session:
        outbox.put(session, customer_id=signed_up.customer_id, kind=kind, now=world.clock())


def correct(world: World, signed_up: SignedUp, address: str) -> int:
    return correct_address(
        world.service, signed_up.customer_id, address, actor="operator", now=world.clock()
    )


def again(world: World, signed_up: SignedUp, kind: MailKind | None = None) -> int:
    return resend(world.service, signed_up.customer_id, kind, actor="operator", now=world.clock())


def customer(world: World, signed_up: SignedUp) -> Customer:
    with world.service.database.read() as session:
        return session.get_one(Customer, signed_up.customer_id)


def states(world: World) -> list[tuple[str, str]]:
    return [(each.kind, each.state) for each in list_unsent(world.service, refused=False)]


def forget(world: World) -> None:
    """The world ends with a look into its mailbox, which was none of ours."""
    with world.service.database.write() as session:
        session.query(Outbox).delete()


@pytest.fixture(autouse=True)
def letters_are_not_looked_for(world: World) -> object:
    original = world.service
    yield
    world.service = replace(world.service, mailbox=original.mailbox)
    forget(world)


def test_refused_address_is_marked_told_and_written_to_no_more(
    world: World, server: Server, refused: SignedUp
) -> None:
    assert customer(world, refused).email_refused_at is not None
    put(world, refused, MailKind.READY)
    other = world.sign_up()
    assert send(world) == 2  # to support, and to somebody else
    assert [letter.to for letter in server.letters] == [other.email, "support@example.com"]
    assert refused.customer_id in server.letters[1].subject
    assert refused.email not in server.letters[1].text
    assert states(world) == [("welcome", "refused"), ("ready", "held")]
    (only,) = list_unsent(world.service, refused=True)
    assert (only.kind, only.attempts, only.last_error) == ("welcome", 1, "550 no such user")
    world.clock.time += timedelta(days=30)
    assert send(world) == 0


@on_sqlite
def test_support_is_told_of_an_address_once_a_day(
    world: World, server: Server, refused: SignedUp
) -> None:
    assert correct(world, refused, refused.email) == 1  # it is right, says the operator
    assert send(world) == 1
    assert [letter.to for letter in server.letters] == ["support@example.com"]
    assert states(world) == [("welcome", "refused")]


@on_sqlite
def test_logs_name_no_address(world: World, server: Server) -> None:
    signed_up = world.sign_up()
    server.errors[signed_up.email] = RecipientRefused("550 no such user")
    with capture_logs() as entries:
        send(world)
    assert [entry["event"] for entry in entries] == ["mail.refused"]
    assert signed_up.email not in str(entries)


def test_corrected_address_gets_all_that_waits(
    world: World, server: Server, refused: SignedUp
) -> None:
    put(world, refused, MailKind.READY)
    assert correct(world, refused, " Right@EXAMPLE.com ") == 2
    assert send(world) == 3
    to_customer = [each for each in server.letters if each.to != "support@example.com"]
    assert {letter.to for letter in to_customer} == {"Right@example.com"}
    assert "/status/" in to_customer[0].text
    assert states(world) == []
    found = customer(world, refused)
    assert (found.email, found.email_key) == ("Right@example.com", TAKEN)
    assert (found.email_refused_at, found.email_confirmed_at) == (None, None)
    with world.service.database.read() as session:
        done = select(Audit).where(Audit.action == "customer.address_corrected")
        assert "example.com" not in str(session.scalars(done).one().details)


@on_sqlite
def test_links_and_a_password_that_the_old_address_got_are_worth_nothing(
    world: World, server: Server, refused: SignedUp
) -> None:
    wrong = ask_for_link(world, refused)
    assert set_password(world, wrong)
    unused = ask_for_link(world, refused)
    correct(world, refused, TAKEN)
    for link in (wrong, unused):
        with pytest.raises(NotFound):
            set_password(world, link)
    with pytest.raises(WrongLogin):
        log_in(world.service, TAKEN, ANOTHER, network="", agent="", now=world.clock())
    send(world)
    (letter,) = [each for each in server.letters if each.reference.startswith("reset-")]
    (token,) = set(re.findall(r"/reset/([\w-]+)", letter.text))
    assert letter.to == TAKEN
    assert set_password(world, token)


@on_sqlite
def test_password_of_the_signup_outlives_a_correction(
    world: World, server: Server, refused: SignedUp
) -> None:
    correct(world, refused, TAKEN)
    assert log_in(world.service, TAKEN, PASSWORD, network="", agent="", now=world.clock())
    send(world)
    assert not [each for each in server.letters if each.reference.startswith("reset-")]


def ask_for_link(world: World, signed_up: SignedUp) -> str:
    with world.service.database.write() as session:
        return issue(session, signed_up.customer_id, TokenPurpose.RESET, now=world.clock())


def set_password(world: World, token: str) -> str:
    who = {"network": "", "agent": ""}
    return enter_anew(world.service, token, ANOTHER, **who, now=world.clock())


@on_sqlite
def test_who_has_the_old_address_is_out(world: World, server: Server, refused: SignedUp) -> None:
    with world.service.database.write() as session:
        start_login(session, refused.customer_id, agent="", now=world.clock())
    correct(world, refused, TAKEN)
    send(world)
    assert not list_logins(world.service, refused.customer_id, now=world.clock())
    with pytest.raises(NotFound):
        read_status(world.service, token=refused.status_token)
    (letter,) = [each for each in server.letters if each.reference.startswith("welcome-")]
    (token,) = set(re.findall(r"/status/([\w-]+)", letter.text))
    assert read_status(world.service, token=token).customer_id == refused.customer_id


@on_sqlite
def test_address_that_was_right_keeps_its_links(
    world: World, server: Server, refused: SignedUp
) -> None:
    correct(world, refused, refused.email)
    shown = read_status(world.service, token=refused.status_token)
    assert shown.customer_id == refused.customer_id


@on_sqlite
def test_where_addresses_are_confirmed_the_new_one_gets_a_link_of_its_own(
    world: World, server: Server, refused: SignedUp
) -> None:
    put(world, refused, MailKind.CONFIRM)  # the old address's
    put(world, refused, MailKind.RESET)
    world.service = replace(world.service, confirm_email=True)
    correct(world, refused, TAKEN)
    send(world)
    assert not [each for each in server.letters if each.reference.startswith("reset-")]
    (letter,) = [each for each in server.letters if each.reference.startswith("confirm-")]
    (token,) = set(re.findall(r"/confirm/([\w-]+)", letter.text))
    confirm(world.service, token, now=world.clock())
    with world.service.database.read() as session:
        assert session.get_one(Customer, refused.customer_id).email_confirmed_at is not None


def test_address_must_be_one_and_nobody_elses(
    world: World, server: Server, refused: SignedUp
) -> None:
    other = world.sign_up()
    with pytest.raises(InvalidInput):
        correct(world, refused, "nobody")
    with pytest.raises(EmailTaken):
        correct(world, refused, other.email.upper())
    with pytest.raises(NotFound):
        correct_address(world.service, "cust-unknown", TAKEN, actor="t", now=world.clock())
    assert customer(world, refused).email == refused.email


@on_sqlite
def test_address_that_was_corrected_meanwhile_is_not_blamed(world: World, server: Server) -> None:
    signed_up = world.sign_up()

    class Slow(Server):
        def send(self, letter: Letter, now: datetime) -> None:
            if letter.to == signed_up.email:
                correct(world, signed_up, TAKEN)
                raise RecipientRefused
            super().send(letter, now)

    slow = Slow()
    world.service = replace(world.service, mailbox=slow)
    assert send(world) == 0
    assert customer(world, signed_up).email_refused_at is None
    assert send(world) == 1
    assert [letter.to for letter in slow.letters] == [TAKEN]


@on_sqlite
def test_refusal_that_is_told_late_leaves_the_claim_of_another_worker(
    world: World, server: Server
) -> None:
    signed_up = world.sign_up()

    class Slow(Server):
        def send(self, letter: Letter, now: datetime) -> None:
            correct(world, signed_up, TAKEN)
            world.clock.time += CLAIMED_FOR
            with world.service.database.write() as session:  # the other's, by now
                row = session.scalars(select(Outbox).where(Outbox.kind == MailKind.WELCOME)).one()
                row.claimed_until = world.clock.time + CLAIMED_FOR
            raise RecipientRefused

    assert send_due(replace(world.service, mailbox=Slow())) == 0
    assert send(world) == 0


@on_sqlite
def test_letter_that_is_refused_is_not_the_address_fault(world: World, server: Server) -> None:
    signed_up = world.sign_up()
    server.errors[signed_up.email] = MailRefused("554 looks like spam")
    assert send(world) == 0
    assert customer(world, signed_up).email_refused_at is None
    assert states(world) == [("welcome", "refused")]
    server.errors.clear()
    put(world, signed_up, MailKind.READY)
    assert send(world) == 1
    assert again(world, signed_up) == 1
    assert send(world) == 1


@on_sqlite
def test_support_whose_address_is_refused_does_not_cost_the_customer_mail(
    world: World, server: Server
) -> None:
    signed_up = world.sign_up()
    server.errors["support@example.com"] = RecipientRefused("550 no such user")
    put(world, signed_up, MailKind.SUPPORT)
    assert send(world) == 1
    assert customer(world, signed_up).email_refused_at is None
    assert states(world) == [("support", "refused")]


@on_sqlite
def test_server_that_is_gone_lets_all_others_wait_where_they_are(
    world: World, server: Server
) -> None:
    first, second = world.sign_up(), world.sign_up()
    server.errors = dict.fromkeys((first.email, second.email), MailUnreachable("gone"))
    with pytest.raises(MailUnreachable):
        send(world)
    assert [each.attempts for each in list_unsent(world.service, refused=False)] == [1, 0]
    server.errors.clear()
    world.wait(2)
    assert send(world) == 2


@on_sqlite
def test_server_that_refuses_everybody_is_doubted_and_nobody_is_marked(
    world: World, server: Server
) -> None:
    everybody = [world.sign_up() for _ in range(5)]
    server.errors = {each.email: RecipientRefused("550 unknown") for each in everybody}
    with pytest.raises(MailUnreachable, match="550 unknown"):
        send(world)
    found = list_unsent(world.service, refused=False)
    assert [(each.state, each.attempts) for each in found] == [("waiting", 1)] * 4 + [
        ("waiting", 0)
    ]
    assert not any(customer(world, each).email_refused_at for each in everybody)
    del server.errors[everybody[0].email]
    world.wait(2)
    assert send(world) == 1  # a server that takes some mail is believed
    assert [each.state for each in list_unsent(world.service, refused=True)] == ["refused"] * 4


@on_sqlite
def test_server_stays_doubted_until_it_takes_a_letter(world: World, server: Server) -> None:
    first = [world.sign_up() for _ in range(4)]
    server.errors = {each.email: RecipientRefused("550 unknown") for each in first}
    with pytest.raises(MailUnreachable):
        send(world)
    late = world.sign_up()
    server.errors[late.email] = RecipientRefused("550 unknown")
    with pytest.raises(MailUnreachable):
        send(world)  # it alone is due
    assert customer(world, late).email_refused_at is None
    world.sign_up()
    assert send(world) == 1
    for each in first:
        del server.errors[each.email]
    world.wait(3)
    assert send(world) == 4
    assert customer(world, late).email_refused_at is not None


@on_sqlite
def test_mail_that_is_being_sent_is_not_taken_up(world: World, server: Server) -> None:
    signed_up = world.sign_up()

    class Asked(Server):
        def send(self, letter: Letter, now: datetime) -> None:
            assert again(world, signed_up) == 1
            assert send(world) == 0
            super().send(letter, now)

    world.service = replace(world.service, mailbox=Asked())
    assert send(world) == 1


@on_sqlite
def test_slow_server_costs_no_letter_its_claim(world: World, server: Server) -> None:
    world.sign_up()
    world.sign_up()
    others: list[int] = []

    class Slow(Server):
        def send(self, letter: Letter, now: datetime) -> None:
            super().send(letter, now)
            world.clock.time += CLAIMED_FOR * 0.6
            if len(self.letters) == 2:  # another worker looks in the middle of the second
                others.append(send_due(world.service))

    world.service = replace(world.service, mailbox=Slow())
    assert send(world) == 2
    assert others == [0]


@on_sqlite
def test_mail_that_is_held_does_not_count_as_waiting(
    world: World, server: Server, refused: SignedUp
) -> None:
    put(world, refused, MailKind.READY)
    with world.service.database.read() as session:
        assert read_gauges(session, world.clock(), []).mail == 1  # what support is told
    send(world)
    with world.service.database.read() as session:
        assert read_gauges(session, world.clock(), []).mail == 0


@on_sqlite
@pytest.mark.parametrize("purpose", list(TokenPurpose))
def test_link_that_has_run_out_is_not_sent(
    world: World, server: Server, purpose: TokenPurpose
) -> None:
    signed_up = world.sign_up()
    send(world)

    def ask() -> None:
        with world.service.database.write() as session:
            send_link(world.service, session, signed_up.customer_id, purpose, now=world.clock.time)

    ask()
    world.clock.time += LASTS[purpose] - timedelta(seconds=1)
    assert send(world) == 1
    ask()
    world.clock.time += LASTS[purpose]
    assert send(world) == 0
    assert states(world) == []
    with world.service.database.read() as session:
        assert not session.scalars(select(Outbox).where(Outbox.wrapped.is_not(None))).all()


# Again


@on_sqlite
def test_mail_that_was_sent_is_sent_again_where_its_kind_is_named(
    world: World, server: Server
) -> None:
    signed_up = world.sign_up()
    send(world)
    assert again(world, signed_up) == 0
    assert again(world, signed_up, MailKind.WELCOME) == 1
    assert send(world) == 1
    first, second = server.letters
    assert first.reference != second.reference
    assert "/status/" not in second.text  # its link is not kept
    assert "/account" in second.text


@on_sqlite
def test_what_cannot_be_sent_again_says_why(
    world: World, server: Server, refused: SignedUp
) -> None:
    with pytest.raises(ChangeRefused, match="mail correct"):
        again(world, refused)
    other = world.sign_up()
    with pytest.raises(NotFound, match="ready"):
        again(world, other, MailKind.READY)
    put(world, other, MailKind.RESET)
    send(world)
    with pytest.raises(ChangeRefused, match="good once"):
        again(world, other, MailKind.RESET)


# As an operator types it


@on_sqlite
def test_operator_looks_corrects_and_sends_again(
    world: World, server: Server, refused: SignedUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "opened", lambda: nullcontext(world.service))
    put(world, refused, MailKind.READY)

    def run(*words: str) -> str:
        result = CliRunner().invoke(mail.mail_command, words, catch_exceptions=False)
        assert result.exit_code == 0
        return result.output

    listed = [json.loads(line) for line in run("list", "--json").splitlines()]
    assert [(each["kind"], each["state"]) for each in listed] == [
        ("welcome", "refused"),
        ("address_refused", "waiting"),
        ("ready", "held"),
    ]
    (line,) = run("list", "--refused").splitlines()
    assert line.split()[:3] == [refused.customer_id, "welcome", "refused"]
    assert "550 no such user" in line
    assert "2 mails go out now" in run("correct", refused.customer_id, TAKEN)
    assert send(world) == 3
    assert run("resend", refused.customer_id, "ready") == "1 mail goes out now\n"
    told = run("resend", refused.customer_id, "ready", "--json")
    assert json.loads(told) == {"customer_id": refused.customer_id, "mails": 1}
    told = run("correct", refused.customer_id, TAKEN, "--json")
    assert json.loads(told) == {"customer_id": refused.customer_id, "mails": 1}
    assert len(run("list").splitlines()) == 1
    assert send(world) == 1
    assert run("list") == "no mail to list\n"

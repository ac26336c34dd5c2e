"""From a row that makes a mail due to a letter in the folder: once, whole, and nothing more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update
from structlog.testing import capture_logs

from tenantry.adapters.database.tables import (
    Customer,
    Deployment,
    LicenseRow,
    Outbox,
    Secret,
    Tenant,
)
from tenantry.adapters.mail import Letter, MailFolder
from tenantry.adapters.vault import Vault
from tenantry.core.errors import MailError
from tenantry.core.mail import NAMES, MailKind
from tenantry.flows import outbox
from tenantry.flows.mailing import letters as letters_of
from tenantry.flows.mailing import sending
from tenantry.flows.mailing.sending import CLAIMED_FOR, send_due
from tenantry.flows.signups.signup import SignedUp
from tenantry.flows.status import read_status
from tenantry.flows.watching import record
from tests.mailbox import body, mail_folder, read_letters
from tests.migrated import on_sqlite
from tests.system.world import PASSWORD, World

pytestmark = on_sqlite


def send(world: World) -> int:
    return send_due(world.service)


def put(world: World, signed_up: SignedUp, kind: MailKind, period: str = "") -> None:
    with world.service.database.write() as session:
        outbox.put(
            session,
            customer_id=signed_up.customer_id,
            kind=kind,
            period=period,
            now=world.clock(),
        )


def rows(world: World) -> list[Outbox]:
    with world.service.database.read() as session:
        return list(session.scalars(select(Outbox).order_by(Outbox.id)))


def letters(world: World) -> list[EmailMessage]:
    return read_letters(world.service)


class Page(HTMLParser):
    """What a reader of the HTML sees, and which elements are there."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.links: list[str] = []
        self.said = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        found = [value or "" for name, value in attrs if name == "href"]
        self.links += [each for each in found if not each.startswith("mailto:")]

    def handle_data(self, data: str) -> None:
        self.said += data


@pytest.fixture
def readonly(world: World) -> Iterator[Path]:
    """The mail folder's place is taken, so that nothing can be written there, not even by root."""
    folder = mail_folder(world.service)
    folder.rmdir() if folder.exists() else folder.parent.mkdir(parents=True, exist_ok=True)
    folder.touch()
    yield folder
    if folder.is_file():
        folder.unlink()


def test_welcome_carries_the_status_link_to_its_customer(world: World) -> None:
    signed_up = world.sign_up(full_name="Ann Example")
    assert send(world) == 1
    (letter,) = letters(world)
    assert letter["To"] == signed_up.email
    assert letter["Subject"].startswith("Welcome to ")
    (link,) = re.findall(r"http\S+/status/\S+", body(letter, "plain"))
    token = link.rpartition("/")[2]
    assert read_status(world.service, token=token).customer_id == signed_up.customer_id
    page = Page(body(letter, "html"))
    assert page.links == [link, signed_up.instance_url]
    for text in (body(letter, "plain"), page.said):
        assert "Hello Ann Example," in text
        assert signed_up.instance_url in text
        assert "14 days, until the end of 7 December 2026" in text


def secrets_of(world: World) -> list[str]:
    """Every wrapped value of the database."""
    with world.service.database.read() as session:
        wrapped = [*session.scalars(select(Secret)), *session.scalars(select(LicenseRow))]
        return [world.service.vault.unwrap(row.wrapped) for row in wrapped]


def test_welcome_carries_nothing_else_that_is_secret(world: World) -> None:
    signed_up = world.sign_up()
    send(world)
    (letter,) = letters(world)
    said = body(letter, "plain") + body(letter, "html") + str(letter.items())
    secrets = secrets_of(world)
    assert len(secrets) == 7
    for secret in [PASSWORD, signed_up.license_token, *secrets]:
        assert secret not in said
    assert said.count(signed_up.status_token) == 2


def test_link_is_gone_from_the_database_once_sent(world: World) -> None:
    signed_up = world.sign_up()
    (before,) = rows(world)
    assert before.wrapped is not None
    assert signed_up.status_token.encode() not in before.wrapped
    send(world)
    (after,) = rows(world)
    assert (after.wrapped, after.last_error, after.retry_at) == (None, None, None)
    assert after.sent_at is not None


def test_logs_name_no_address_and_no_link(world: World) -> None:
    signed_up = world.sign_up()
    with capture_logs() as entries:
        send(world)
    assert [entry["event"] for entry in entries] == ["mail.sent"]
    assert signed_up.email not in str(entries)
    assert signed_up.status_token not in str(entries)


def test_nothing_due_sends_nothing(world: World) -> None:
    world.sign_up()
    assert send(world) == 1
    assert send(world) == 0
    assert len(letters(world)) == 1


def test_mail_of_one_kind_and_period_is_due_once(world: World) -> None:
    signed_up = world.sign_up()
    for _ in range(2):
        put(world, signed_up, MailKind.READY)
        put(world, signed_up, MailKind.READY, period="2027")
        put(world, signed_up, MailKind.WELCOME)
    assert [(row.kind, row.period) for row in rows(world)] == [
        ("welcome", ""),
        ("ready", ""),
        ("ready", "2027"),
    ]
    assert send(world) == 3


def test_ready_mail_leads_to_the_login_and_holds_no_secret(world: World) -> None:
    """R28: the user name is the customer id, the first password is handed over elsewhere."""
    signed_up = world.sign_up()
    send(world)
    put(world, signed_up, MailKind.READY)
    send(world)
    ready, _ = letters(world)
    assert ready["Subject"].endswith("instance is ready")
    login, page = f"{signed_up.instance_url}/login", Page(body(ready, "html"))
    assert page.links == [signed_up.instance_url, login, f"{world.service.public_url}/account"]
    for text in (body(ready, "plain"), page.said):
        assert login in text
        assert f"user name {signed_up.customer_id}" in text
        assert "/status/" not in text
        assert not any(secret in text for secret in secrets_of(world))


def test_ready_mail_of_a_product_without_a_first_administrator_names_no_login(
    world: World,
) -> None:
    product = world.service.product.model_copy(update={"bootstrap": None})
    world.service = replace(world.service, product=product)
    put(world, world.sign_up(), MailKind.READY)
    send(world)
    ready = next(each for each in letters(world) if each["Subject"].endswith("is ready"))
    assert len(Page(body(ready, "html")).links) == 1
    assert "ser name" not in body(ready, "plain") + body(ready, "html")


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "{{ 7*7 }}{% raw %}",
        "&amp; Söhne 🔑",
        "\u202eevil",
        "'; DROP TABLE",
    ],
)
def test_hostile_names_are_text_and_nothing_else(world: World, name: str) -> None:
    world.sign_up(company_name=name, full_name=name)
    send(world)
    (letter,) = letters(world)
    page = Page(body(letter, "html"))
    assert page.said.count(name) == 2
    assert page.elements <= {
        "html", "head", "meta", "title", "style", "body", "div", "p", "strong", "h1", "a",
    }  # fmt: skip
    assert body(letter, "plain").count(name) == 2


@pytest.mark.parametrize("email", ["jörg@example.com", "用户@example.com", "o'neil+x@example.com"])
def test_mail_to_any_address_is_sent(world: World, email: str) -> None:
    signed_up = world.sign_up(email=email)
    assert send(world) == 1
    (path,) = mail_folder(world.service).glob("*.eml")
    assert f"\r\nTo: {signed_up.email}\r\n".encode() in path.read_bytes()


def test_customer_is_told_of_a_first_deployment_that_fails_and_of_no_other(world: World) -> None:
    customer_id = world.sign_up().customer_id

    def told(generation: int) -> list[str]:
        with world.service.database.write() as session:
            tenant = session.get_one(Tenant, customer_id)
            record._tell_of_failure(session, tenant, generation, world.clock())
        return [row.kind for row in rows(world)]

    assert told(1) == ["welcome", "support", "failed"]
    with world.service.database.write() as session:
        session.execute(update(Deployment).values(ready_at=world.clock()))
        session.execute(delete(Outbox))
    assert told(2) == ["support"]


# When it goes wrong


def test_folder_that_takes_nothing_is_tried_again_later_and_sent_once(
    world: World, readonly: Path
) -> None:
    world.sign_up()
    waits = []
    for _ in range(12):
        assert send(world) == 0
        now = world.clock.time
        (row,) = rows(world)
        assert row.wrapped is not None
        assert row.retry_at is not None
        assert str(readonly) in (row.last_error or "")
        waits.append((row.retry_at - now).total_seconds())
        world.clock.time = row.retry_at - timedelta(milliseconds=10)
        assert send(world) == 0
        assert rows(world)[0].attempts == row.attempts == len(waits)
        world.clock.time = row.retry_at
    longest = [min(60 * 2**failures, 3600) for failures in range(12)]
    assert all(most / 2 <= wait <= most for wait, most in zip(waits, longest, strict=True))
    readonly.unlink()
    assert send(world) == 1
    assert send(world) == 0
    assert len(letters(world)) == 1


def test_a_week_of_failures_does_not_break_the_mailer(world: World, readonly: Path) -> None:
    world.sign_up()
    with world.service.database.write() as session:
        session.scalars(select(Outbox)).one().attempts = 200
    assert send(world) == 0
    (row,) = rows(world)
    assert row.retry_at is not None
    assert timedelta(minutes=30) <= row.retry_at - world.clock.time <= timedelta(hours=1)
    readonly.unlink()
    world.clock.time += timedelta(hours=2)
    assert send(world) == 1


def test_letter_that_was_handed_over_before_a_crash_is_not_doubled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sign_up()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sending, "_close", die)
        with pytest.raises(KeyboardInterrupt):
            send(world)
    assert len(letters(world)) == 1
    assert send(world) == 0  # as far as anybody knows, it is being sent
    world.clock.time += CLAIMED_FOR
    assert send(world) == 1
    assert len(letters(world)) == 1


@pytest.mark.parametrize("behind", [timedelta(minutes=4), timedelta(seconds=1)])
def test_worker_whose_clock_is_behind_leaves_what_is_being_sent(
    world: World, behind: timedelta
) -> None:
    """So is the time of one that looked at its clock, and then waited for the other's claim."""
    world.sign_up()
    other = replace(world.service, now=lambda: world.clock.time - behind)
    by_other: list[int] = []

    class Shared(MailFolder):
        def send(self, letter: Letter, now: datetime) -> None:
            super().send(letter, now)
            by_other.append(send_due(other))

    mailbox = Shared(mail_folder(world.service), sender="no-reply@example.com")
    assert send_due(replace(world.service, mailbox=mailbox)) == 1
    assert by_other == [0]


def test_worker_that_was_stopped_past_its_claim_lets_another_have_the_mail(world: World) -> None:
    """What it says of a failure, once it goes on, is of an attempt that nobody waits for."""
    world.sign_up()
    claims: list[datetime | None] = []

    class Stopped(MailFolder):
        def send(self, letter: Letter, now: datetime) -> None:
            world.clock.time += CLAIMED_FOR
            with world.service.database.write() as session:  # another worker's claim
                row = session.scalars(select(Outbox)).one()
                row.claimed_until = claim = world.clock.time + CLAIMED_FOR
            claims.append(claim)
            raise MailError("no answer")

    mailbox = Stopped(mail_folder(world.service), sender="no-reply@example.com")
    assert send_due(replace(world.service, mailbox=mailbox)) == 0
    (row,) = rows(world)
    assert (row.attempts, [row.claimed_until]) == (0, claims)


def test_mail_that_cannot_be_written_does_not_keep_the_others_back(world: World) -> None:
    """Its link was wrapped with a key that is gone."""
    poisoned, healthy = world.sign_up(), world.sign_up()
    stranger = Vault(["A" * 43 + "="])
    with world.service.database.write() as session:
        row = session.scalars(
            select(Outbox).where(Outbox.customer_id == poisoned.customer_id)
        ).one()
        row.wrapped = stranger.wrap("token")
    assert send(world) == 1
    (letter,) = letters(world)
    assert letter["To"] == healthy.email
    assert "vault" in (rows(world)[0].last_error or "")


def test_error_of_an_unknown_kind_does_not_keep_the_others_back(world: World) -> None:
    """Its time zone is one that this machine does not know."""
    unlucky, healthy = world.sign_up(), world.sign_up()
    with world.service.database.write() as session:
        session.get_one(Customer, unlucky.customer_id).time_zone = "Mars/Olympus"
    with capture_logs() as entries:
        assert send(world) == 1
    assert letters(world)[0]["To"] == healthy.email
    row, _ = rows(world)
    assert (row.customer_id, row.last_error) == (unlucky.customer_id, "ValueError")
    assert (row.attempts, row.claimed_until) == (1, None)
    (crashed,) = [each for each in entries if each["event"] == "mail.crashed"]
    assert (crashed["outbox_id"], crashed["error"]) == (row.id, row.last_error)
    assert "letters.py" in str(crashed["frames"])


def test_what_somebody_waits_for_goes_before_all_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "AT_ONCE", 1)
    early = world.sign_up()
    assert send(world) == 1
    put(world, early, MailKind.LICENSE_RENEWED)
    world.sign_up()
    assert send(world) == 1
    assert [row.kind for row in rows(world) if row.sent_at] == ["welcome", "welcome"]
    assert send(world) == 1
    assert send(world) == 0


@pytest.mark.parametrize(
    ("said", "fault"),
    [("full_name.split()[0]", "UndefinedError"), ("full_name|length", "TypeError")],
)
def test_text_that_fails_for_one_customer_keeps_nobody_else_back(
    world: World, said: str, fault: str
) -> None:
    nameless, named = world.sign_up(), world.sign_up(full_name="Ann")
    texts = dict(world.service.mail_templates) | {
        "welcome.txt": f"Subject: Hi\n\nHello {{{{ {said} }}}}\n"
    }
    service = replace(world.service, mail_templates=texts)
    assert send_due(service) == 1
    assert letters(world)[0]["To"] == named.email
    row, _ = rows(world)
    assert row.customer_id == nameless.customer_id
    assert row.last_error == f"mail/welcome.txt cannot be filled in: {fault}"


def test_names_that_mail_may_say_are_those_it_is_given(world: World) -> None:
    world.sign_up()
    (row,) = rows(world)
    with world.service.database.read() as session:
        about = letters_of._about(world.service, session, row)
    said = letters_of.words(world.service.product, "https://x.example", about, world.clock())
    assert said.keys() == NAMES


def test_two_mailers_at_once_send_a_letter_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sign_up()
    handed_over: list[str] = []
    send_really = MailFolder.send

    def send_while_another_looks(self: MailFolder, letter: Letter, now: datetime) -> None:
        handed_over.append(letter.reference)
        assert send(world) == 0
        send_really(self, letter, now)

    monkeypatch.setattr(MailFolder, "send", send_while_another_looks)
    assert send(world) == 1
    assert len(handed_over) == 1

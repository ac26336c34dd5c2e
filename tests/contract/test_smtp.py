"""A real mail server, which does what servers do: each answer blames whom it should."""

from __future__ import annotations

import asyncio
import smtplib
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tenantry import doctor, wiring
from tenantry.adapters.mail import Letter
from tenantry.adapters.smtp import Access, Security, SmtpServer, _blame
from tenantry.core.errors import (
    MailError,
    MailRefused,
    MailUnreachable,
    RecipientRefused,
    SettingsError,
)
from tenantry.settings import load
from tests.githost import tls_of_localhost
from tests.mailbox import body, parse
from tests.ports import free_port

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
PASSWORD = "correct horse"
LETTER = Letter(
    reference="welcome-cust-bcdfghjkmn-1",
    to="customer@example.com",
    subject="Grüße",
    text="Hello,\n.\nFrom here on.\n",
    html="<p>Hello</p>\n",
)


@dataclass
class Answers:
    """What the server answers to the recipient and to the letter (None: it takes them); and what it
    took. `hangs_up`: after so many letters it has read, without an answer.
    """

    rcpt: str | None = None
    data: str | None = None
    hangs_up: bool = False
    taken: list[Envelope] = field(default_factory=list)
    sessions: set[int] = field(default_factory=set)

    async def handle_RCPT(  # noqa: N802
        self, _: SMTP, session: Session, envelope: Envelope, address: str, __: list[str]
    ) -> str:
        self.sessions.add(id(session))
        if self.rcpt:
            return self.rcpt
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.hangs_up:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        if self.data:
            return self.data
        self.taken.append(envelope)
        return "250 OK"


@contextmanager
def serving(answers: Answers, **options: object) -> Iterator[int]:
    """The server, at the port that is given."""
    port = free_port()
    chosen: dict[str, Any] = {"enable_SMTPUTF8": True, **options}
    controller = Controller(answers, hostname="127.0.0.1", port=port, **chosen)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def at(port: int) -> Access:
    return Access("127.0.0.1", port, "none", None, None, None, timeout=5)


def mailbox(access: Access) -> SmtpServer:
    return SmtpServer(access, sender="Tenantry <no-reply@tenantry.example>")


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Answers, int]]:
    answers = Answers()
    with serving(answers) as port:
        yield answers, port


@pytest.fixture
def answers(server: tuple[Answers, int]) -> Answers:
    """A server that takes everything, until told otherwise."""
    server[0].__init__()  # type: ignore[misc]
    return server[0]


@pytest.fixture
def ours(server: tuple[Answers, int]) -> Iterator[SmtpServer]:
    mine = mailbox(at(server[1]))
    yield mine
    mine.close()


def test_letter_arrives_as_it_was_written(answers: Answers, ours: SmtpServer) -> None:
    ours.send(LETTER, NOW)
    (envelope,) = answers.taken
    assert (envelope.mail_from, envelope.rcpt_tos) == ("no-reply@tenantry.example", [LETTER.to])
    assert isinstance(envelope.content, bytes)
    message = parse(envelope.content)
    assert (message["To"], message["Subject"]) == (LETTER.to, LETTER.subject)
    assert message["Message-ID"] == f"<{LETTER.reference}@tenantry.example>"
    assert (body(message, "plain"), body(message, "html")) == (LETTER.text, LETTER.html)


def test_domain_in_any_script_needs_nothing_of_the_server() -> None:
    answers = Answers()
    with serving(answers, enable_SMTPUTF8=False, decode_data=False) as port:
        ours = mailbox(at(port))
        ours.send(replace(LETTER, to="ada@bücher.example", text="Grüße\n"), NOW)
        ours.close()
    (envelope,) = answers.taken
    assert envelope.rcpt_tos == ["ada@xn--bcher-kva.example"]
    assert isinstance(envelope.content, bytes)
    assert envelope.content.isascii()  # no 8BITMIME either
    assert parse(envelope.content)["To"] == "ada@xn--bcher-kva.example"


@pytest.mark.parametrize("address", ["jörg@example.com", "用户@bücher.example"])
def test_address_in_any_script_is_written_to(
    answers: Answers, ours: SmtpServer, address: str
) -> None:
    ours.send(replace(LETTER, to=address), NOW)
    assert answers.taken[0].rcpt_tos == [address]


def test_server_that_knows_only_ascii_refuses_the_address() -> None:
    with serving(Answers(), enable_SMTPUTF8=False) as port:
        ours = mailbox(at(port))
        with pytest.raises(RecipientRefused, match="SMTPUTF8"):
            ours.send(replace(LETTER, to="jörg@example.com"), NOW)
        ours.close()


def test_letters_of_one_pass_share_a_connection(answers: Answers, ours: SmtpServer) -> None:
    for _ in range(3):
        ours.send(LETTER, NOW)
    assert (len(answers.taken), len(answers.sessions)) == (3, 1)
    ours.close()
    ours.send(LETTER, NOW)
    assert len(answers.taken) == 4


@pytest.mark.parametrize(
    ("step", "said", "blamed"),
    [
        ("rcpt", "550 5.1.1 <customer@example.com>: no such user", RecipientRefused),
        ("rcpt", "550 no such user", RecipientRefused),
        ("rcpt", "553 5.1.3 bad address syntax", RecipientRefused),
        ("rcpt", "556 5.1.10 this domain takes no mail", RecipientRefused),
        ("data", "550 5.1.1 no such user", RecipientRefused),
        ("rcpt", "550 Requested action not taken: mailbox unavailable", RecipientRefused),
        ("rcpt", "552 5.2.2 mailbox is full", MailError),
        ("rcpt", "552 mailbox is full", MailError),
        ("data", "552 5.2.2 mailbox is full", MailError),
        ("data", "552 exceeded storage allocation", MailError),
        ("rcpt", "553 5.1.8 sender's domain does not exist", MailError),
        ("rcpt", "553 5.1.7 bad sender", MailError),
        ("rcpt", "550 relay access denied", MailError),
        ("rcpt", "550 Message rejected; IP 185.1.2.3 listed", MailError),
        ("rcpt", "550 HELO does not resolve", MailError),
        ("rcpt", "550 blocked, see spamhaus.org", MailError),
        ("rcpt", "554 rejected", MailError),
        ("data", "550 Message rejected; see 5.1.2", MailRefused),
        ("data", "550 5.7.60 no permissions to send as this sender", MailError),
        ("data", "554 Message rejected: Email address is not verified.", MailError),
        ("data", "554 5.7.1 looks like spam", MailRefused),
        ("data", "550 5.7.26 no DKIM", MailRefused),
        ("data", "552 5.3.4 too big", MailRefused),
        ("rcpt", "450 4.7.1 greylisted, try again", MailError),
        ("rcpt", "452 4.2.2 mailbox is full", MailError),
        ("data", "451 4.3.0 try again", MailError),
        ("rcpt", "530 5.7.0 authentication required", MailError),
        ("rcpt", "550 5.7.1 relaying denied", MailError),
    ],
)
def test_answer_blames_the_address_the_letter_or_nobody(
    answers: Answers, ours: SmtpServer, step: str, said: str, blamed: type[MailError]
) -> None:
    setattr(answers, step, said)
    with pytest.raises(MailError) as caught:
        ours.send(LETTER, NOW)
    assert type(caught.value) is blamed
    assert caught.value.permanent == issubclass(blamed, MailRefused)
    assert said[:3] in str(caught.value)
    assert LETTER.to not in str(caught.value)
    answers.rcpt = answers.data = None
    ours.send(LETTER, NOW)  # on the same connection
    assert len(answers.taken) == 1


@pytest.mark.parametrize(
    ("local", "said", "kept"),
    [
        ("jane.doe", "5.1.1 User jane.doe unknown", "550 5.1.1 User … unknown"),
        ("jane.doe", "5.1.1 No mailbox: Jane.Doe.", "550 5.1.1 No mailbox: …."),
        ("jane.doe", "5.1.1 'jane.doe': <jane.doe@a.example>", "550 5.1.1 '…': …"),
        ("jane+shop", "5.1.1 jane unknown; jane+shop", "550 5.1.1 … unknown; …"),
        ("use", "5.1.1 User use unknown", "550 5.1.1 User … unknown"),
        ("1", "5.1.1 no such user", "550 5.1.1 no such user"),
        ("5.1", "5.1.1 no such user", "550 5.1.1 no such user"),
        ("(", "5.1.1 no such user", "550 5.1.1 no such user"),
    ],
)
def test_name_of_a_mailbox_is_not_kept(local: str, said: str, kept: str) -> None:
    to = f"{local}@example.com"
    refused = smtplib.SMTPRecipientsRefused({to: (550, said.encode())})
    blamed = _blame(refused, to)
    assert type(blamed) is RecipientRefused
    assert str(blamed) == f"the mail server refused the address: {kept}"
    told = _blame(smtplib.SMTPDataError(550, said.encode()), to)
    assert str(told).endswith(kept)


def test_connection_that_is_gone_in_the_middle_of_a_letter_is_nobodys_fault(
    answers: Answers, ours: SmtpServer
) -> None:
    answers.hangs_up = True
    with pytest.raises(MailUnreachable, match="connection to the mail server was lost"):
        ours.send(LETTER, NOW)
    first = answers.taken.pop()
    answers.hangs_up = False
    ours.send(LETTER, NOW)
    assert isinstance(first.content, bytes)
    assert isinstance(answers.taken[0].content, bytes)
    identities = {parse(each)["Message-ID"] for each in (first.content, answers.taken[0].content)}
    assert len(identities) == 1


def test_server_that_never_answers_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        slow = mailbox(replace(at(silent.getsockname()[1]), timeout=0.1))
        with pytest.raises(MailUnreachable, match="did not answer within"):
            slow.send(LETTER, NOW)


def test_server_that_is_not_there_is_told_with_its_place() -> None:
    port = free_port()
    with pytest.raises(MailUnreachable, match=f"127.0.0.1:{port} is not usable: .*refused"):
        mailbox(at(port)).check()


# Encrypted, and logged in


def authenticate(
    _: SMTP, __: Session, ___: Envelope, mechanism: str, data: LoginPassword
) -> AuthResult:
    return AuthResult(success=data.password == PASSWORD.encode(), handled=False)


@dataclass(frozen=True)
class Place:
    """Servers that want a password, by how they are encrypted."""

    ports: dict[Security, int]
    answers: Answers
    ca_file: Path
    folder: Path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("smtp")
    context = tls_of_localhost(folder)
    answers = Answers()
    of_starttls = {"tls_context": context, "require_starttls": True, "auth_required": True}
    # it does not know that all is encrypted from the start
    of_tls = {"ssl_context": context, "auth_require_tls": False}
    with (
        serving(answers, authenticator=authenticate, **of_starttls) as starttls,
        serving(answers, authenticator=authenticate, **of_tls) as tls,
    ):
        yield Place({"starttls": starttls, "tls": tls}, answers, folder / "ca.pem", folder)


def inside(place: Place, security: Security, password: Callable[[], str]) -> SmtpServer:
    access = replace(
        at(place.ports[security]),
        host="localhost",
        security=security,
        username="tenantry",
        password=password,
        ca_file=place.ca_file,
    )
    return mailbox(access)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_password_opens_an_encrypted_server(guarded: Place, security: Security) -> None:
    guarded.answers.taken.clear()
    ours = inside(guarded, security, lambda: PASSWORD)
    ours.send(LETTER, NOW)
    ours.close()
    assert len(guarded.answers.taken) == 1
    assert str(guarded.ports[security]) in ours.check()


def test_wrong_password_is_the_operators_fault_and_is_read_anew(guarded: Place) -> None:
    given = ["wrong"]
    ours = inside(guarded, "starttls", lambda: given[-1])
    with pytest.raises(MailUnreachable, match="does not accept the user name and password"):
        ours.send(LETTER, NOW)
    given.append(PASSWORD)
    ours.send(LETTER, NOW)
    ours.close()


def test_password_file_that_is_missing_is_told(guarded: Place) -> None:
    def missing() -> str:
        raise SettingsError("/etc/smtp-password: No such file or directory")

    with pytest.raises(MailUnreachable, match="smtp-password"):
        inside(guarded, "starttls", missing).send(LETTER, NOW)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_certificate_that_nobody_vouches_for_is_refused(guarded: Place, security: Security) -> None:
    ours = inside(guarded, security, lambda: PASSWORD)
    ours._access = replace(ours._access, ca_file=None)
    with pytest.raises(MailUnreachable, match="certificate that we do not trust"):
        ours.send(LETTER, NOW)


def test_server_that_offers_no_encryption_gets_no_mail(
    answers: Answers, server: tuple[Answers, int]
) -> None:
    ours = mailbox(replace(at(server[1]), security="starttls"))
    with pytest.raises(MailUnreachable, match="STARTTLS"):
        ours.send(LETTER, NOW)
    assert answers.taken == []


# Settings


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"smtp_username": "u"}, "TENANTRY_SMTP_PASSWORD_FILE"),
        ({"smtp_password_file": "/p"}, "TENANTRY_SMTP_USERNAME"),
        (
            {"smtp_username": "u", "smtp_password_file": "/p", "smtp_security": "none"},
            "TENANTRY_SMTP_SECURITY",
        ),
    ],
)
def test_half_a_login_is_found_at_start(given: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        wiring.mailbox(load(smtp_host="mail.example.com", **given))


def test_production_does_not_start_with_mail_that_nobody_gets(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="TENANTRY_SMTP_HOST"):
        wiring.mailbox(load(environment="production"))
    wiring.mailbox(load(environment="production", mail_dir=tmp_path))
    wiring.mailbox(load(environment="production", smtp_host="mail.example.com"))


@pytest.mark.parametrize(("security", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
def test_port_is_the_usual_one_unless_set(security: str, port: int) -> None:
    for given, expected in ((None, port), (2525, 2525)):
        found = wiring.mailbox(
            load(smtp_host="mail.example.com", smtp_security=security, smtp_port=given)
        )
        assert isinstance(found, SmtpServer)
        assert found._access.port == expected


def test_doctor_goes_and_looks(server: tuple[Answers, int]) -> None:
    way = {"smtp_host": "127.0.0.1", "smtp_security": "none"}
    assert doctor._mail(load(**way, smtp_port=server[1])).endswith(f":{server[1]}")
    with pytest.raises(MailUnreachable):
        doctor._mail(load(**way, smtp_port=free_port()))

"""Mail handed over to a server, by SMTP.

What a server says is told apart by whom it blames (RFC 5321, RFC 3463): nobody for good (try
later), the letter, the address; or us, whom it does not let in. Its words are kept without the
addresses that they quote, and without the name of the mailbox.
"""

from __future__ import annotations

import re
import smtplib
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parseaddr
from pathlib import Path
from typing import Literal

from tenantry.adapters.mail import Letter, compose, in_ascii
from tenantry.core.errors import (
    MailError,
    MailRefused,
    MailUnreachable,
    RecipientRefused,
    SettingsError,
)

Security = Literal["starttls", "tls", "none"]
PORTS: dict[Security, int] = {"starttls": 587, "tls": 465, "none": 25}

# Seconds. A letter takes thirteen answers, and another worker may send it once its claim is over
# (flows.mailing.sending.CLAIMED_FOR).
LONGEST_ANSWER = 45

_LONGEST = 300  # characters of what a server says
_ADDRESS = re.compile(r"<?[^\s<>]+@[^\s<>]+>?")
_ENHANCED = re.compile(r"\d{3} ([245]\.\d{1,3}\.\d{1,3})\b")
# the address or its domain is not there, is not one, or takes no mail
_NOBODY_THERE = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1", "5.4.1"})
_NO_MAILBOX = frozenset({550, 551, 553})  # of a recipient, from a server without enhanced codes
_OF_US = re.compile(
    r"relay|sender|block|spam|helo|ehlo|\bip\b|polic|reputation|authenti|denied", re.IGNORECASE
)
_MAY_NOT_SEND = re.compile(r"send ?as\b|sendasdenied|not verified", re.IGNORECASE)
_FULL = "5.2.2"


@dataclass(frozen=True)
class Access:
    """A mail server, and how we come in. `password` is asked for at each connection."""

    host: str
    port: int
    security: Security
    username: str | None
    password: Callable[[], str] | None
    ca_file: Path | None  # instead of the system's
    timeout: float  # seconds for each answer


class SmtpServer:
    """A server that takes mail. One connection takes all letters until `close`."""

    def __init__(self, access: Access, *, sender: str) -> None:
        self._access = access
        self._sender = sender
        self._connection: smtplib.SMTP | None = None
        self._lock = threading.RLock()

    def send(self, letter: Letter, now: datetime) -> None:
        """Hand the letter over. MailUnreachable where the server fails or refuses us, MailError to
        be tried later, MailRefused for a letter and RecipientRefused for an address that it does
        not take.
        """
        message = compose(letter, sender=self._sender, now=now)
        with self._lock:
            connection = self._connect()
            try:
                sender, to = parseaddr(self._sender)[1], in_ascii(letter.to)
                _hand_over(connection, sender, to, bytes(message))
            except (smtplib.SMTPException, OSError) as error:
                failure = _blame(error, letter.to)
                if isinstance(failure, MailUnreachable):
                    self._drop()
                raise failure from error

    def check(self) -> str:
        """What answers there, once we are in; MailUnreachable says why not."""
        with self._lock:
            try:
                self._connect().noop()
            except (smtplib.SMTPException, OSError) as error:
                raise _blame(error, "") from error
            finally:
                self.close()
        return f"mail goes to {self._access.host}:{self._access.port}"

    def close(self) -> None:
        """End the connection; the next letter opens another."""
        with self._lock:
            if self._connection is not None:
                with suppress(smtplib.SMTPException, OSError):
                    self._connection.quit()
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _connect(self) -> smtplib.SMTP:
        if self._connection is not None and self._connection.sock is not None:
            return self._connection
        try:
            self._connection = self._open()
            self._log_in(self._connection)
        except (smtplib.SMTPException, OSError, UnicodeError, SettingsError) as error:
            self._drop()
            raise MailUnreachable(self._describe(error)) from error
        return self._connection

    def _open(self) -> smtplib.SMTP:
        access = self._access
        name = parseaddr(self._sender)[1].rpartition("@")[2]  # what we call ourselves
        tls = ssl.create_default_context(cafile=access.ca_file)
        if access.security == "tls":
            return smtplib.SMTP_SSL(
                access.host, access.port, name, timeout=access.timeout, context=tls
            )
        connection = smtplib.SMTP(access.host, access.port, name, timeout=access.timeout)
        if access.security == "starttls":
            try:
                connection.starttls(context=tls)
            except BaseException:
                connection.close()
                raise
        return connection

    def _log_in(self, connection: smtplib.SMTP) -> None:
        if self._access.username is not None and self._access.password is not None:
            connection.login(self._access.username, self._access.password())

    def _describe(self, error: Exception) -> str:
        where = f"the mail server {self._access.host}:{self._access.port}"
        if isinstance(error, smtplib.SMTPAuthenticationError):
            return f"{where} does not accept the user name and password: {_words(error)}"
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"{where} has a certificate that we do not trust: {error.verify_message}"
        if _timed_out(error):
            return f"{where} did not answer within {self._access.timeout:g} s"
        if isinstance(error, smtplib.SMTPResponseException):
            return f"{where} answered {_words(error)}"
        return f"{where} is not usable: {error}"


def _hand_over(connection: smtplib.SMTP, sender: str, to: str, message: bytes) -> None:
    """As `send_message` does, which would write ">From" where a line begins with "From"."""
    options: list[str] = []
    if not to.isascii():
        connection.ehlo_or_helo_if_needed()
        if not connection.has_extn("smtputf8"):
            raise smtplib.SMTPNotSupportedError
        options = ["SMTPUTF8", "BODY=8BITMIME"]
    connection.sendmail(sender, [to], message, options)


def _timed_out(error: Exception) -> bool:
    """Whether the server did not answer in time; smtplib says so in the cause alone."""
    return isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)


def _blame(error: Exception, to: str) -> MailError:
    """Whose fault it is that a letter was not taken."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        ((code, said),) = error.recipients.values()
        return _of_recipient(code, _clean(code, said, to))
    if isinstance(error, smtplib.SMTPDataError):
        return _of_data(error.smtp_code, _words(error, to))
    if isinstance(error, smtplib.SMTPSenderRefused):
        return MailError(f"the mail server does not take mail from us: {_words(error, to)}")
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return RecipientRefused("the mail server knows no addresses beyond ASCII (SMTPUTF8)")
    if _timed_out(error):
        return MailUnreachable("the mail server did not answer in time")
    if isinstance(error, smtplib.SMTPResponseException):
        return MailUnreachable(f"the mail server answered {_words(error, to)}")
    return MailUnreachable("the connection to the mail server was lost")


def _of_recipient(code: int, words: str) -> MailError:
    if code < 500:
        return MailError(f"the mail server takes it later: {words}")
    enhanced = _enhanced(words)
    says_nobody = code in _NO_MAILBOX and not _OF_US.search(words)
    if enhanced in _NOBODY_THERE or (enhanced is None and says_nobody):
        return RecipientRefused(f"the mail server refused the address: {words}")
    return MailError(f"the mail server does not let us send there: {words}")


def _of_data(code: int, words: str) -> MailError:
    if code < 500:
        return MailError(f"the mail server takes it later: {words}")
    enhanced = _enhanced(words)
    if _MAY_NOT_SEND.search(words):
        return MailError(f"the mail server does not let us send that: {words}")
    if enhanced == _FULL or (enhanced is None and code == 552):
        return MailError(f"the mail server has no room for it: {words}")
    if enhanced in _NOBODY_THERE:
        return RecipientRefused(f"the mail server refused the address: {words}")
    return MailRefused(f"the mail server refused the letter: {words}")


def _enhanced(words: str) -> str | None:
    """The enhanced status code (RFC 3463) that the reply begins with."""
    found = _ENHANCED.match(words)
    return found[1] if found else None


def _words(error: smtplib.SMTPResponseException, to: str = "") -> str:
    return _clean(error.smtp_code, error.smtp_error, to)


def _clean(code: int, said: bytes | str, to: str) -> str:
    """What the server said, without the address `to` and any other."""
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    for name in _names(to):
        text = re.sub(rf"(?<![\w.]){re.escape(name)}(?!\.?\w)", "…", text, flags=re.IGNORECASE)
    return " ".join(_ADDRESS.sub("…", f"{code} {text}").split())[:_LONGEST]


def _names(address: str) -> list[str]:
    """What servers call the mailbox: all before the @, or before the tag."""
    local = address.rpartition("@")[0]
    return [name for name in (local, local.partition("+")[0]) if name]

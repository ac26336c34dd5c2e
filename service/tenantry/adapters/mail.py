"""Letters, and a folder of `.eml` files that takes them, as in development. `adapters.smtp` hands
them to a server.

A message is built by the standard library's EmailMessage, which refuses line breaks in headers.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Protocol

from email_validator import EmailNotValidError, validate_email

from tenantry.core.errors import MailError


@dataclass(frozen=True)
class Letter:
    """One mail. `reference` is unique for it and the same at each attempt to send it. `reply_to`:
    who reads answers; the sender where that is nobody.
    """

    reference: str
    to: str
    subject: str
    text: str
    html: str
    reply_to: str | None = None


class Mailbox(Protocol):
    """What takes letters."""

    def send(self, letter: Letter, now: datetime) -> None:
        """Hand a letter over; MailError where that fails. The same letter may come again."""

    def close(self) -> None:
        """There are no more letters for now."""


def compose(letter: Letter, *, sender: str, now: datetime) -> EmailMessage:
    """The message; MailError where an address or subject cannot stand in a header."""
    to = in_ascii(letter.to)
    # only RFC 6531 has addresses beyond ASCII
    standard = policy.SMTP if to.isascii() else policy.SMTPUTF8
    message = EmailMessage(policy=standard.clone(cte_type="7bit"))  # not all know 8BITMIME
    local, _, domain = to.rpartition("@")
    try:
        message["From"] = sender
        message["To"] = Address(username=local, domain=domain)  # one, whatever characters it has
        message["Subject"] = letter.subject
        if letter.reply_to:
            message["Reply-To"] = in_ascii(letter.reply_to)
    except ValueError as error:
        raise MailError(f"the mail's header is not valid: {error}") from error
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{letter.reference}@{sender.rpartition('@')[2].rstrip('>')}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.text)
    message.add_alternative(letter.html, subtype="html")
    return message


def is_address(text: str) -> bool:
    """Whether mail can be sent to it as it stands: no name before it, and no address of a page."""
    return "://" not in text and re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", text) is not None


def in_ascii(address: str) -> str:
    """The address as any server knows it: its domain in ASCII. One whose local part is not is left
    as it is, and needs SMTPUTF8.
    """
    if address.isascii() or not address.rpartition("@")[0].isascii():
        return address
    try:
        return validate_email(address, check_deliverability=False).ascii_email or address
    except EmailNotValidError:
        return address


class MailFolder:
    """A folder that mail is put into, one file per letter; the same letter again replaces it."""

    def __init__(self, folder: Path, *, sender: str) -> None:
        self.folder = folder
        self._sender = sender

    def send(self, letter: Letter, now: datetime) -> None:
        """Write `<reference>.eml`, whole or not at all."""
        message = compose(letter, sender=self._sender, now=now)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            unfinished = self.folder / f".{letter.reference}.{os.getpid()}"
            try:
                unfinished.write_bytes(bytes(message))
                unfinished.replace(self.folder / f"{letter.reference}.eml")
            finally:
                unfinished.unlink(missing_ok=True)
        except OSError as error:
            raise MailError(f"{self.folder}: {error.strerror}") from error

    def close(self) -> None:
        """Nothing is open."""

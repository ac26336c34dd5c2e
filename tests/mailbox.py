"""Mail as its reader has it: the folder that a service under test puts it into, and each letter."""

from __future__ import annotations

from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

from tenantry.adapters.mail import MailFolder
from tenantry.flows.service import Service


def mail_folder(service: Service) -> Path:
    """Where the service's mail goes, which has no mail server."""
    real = getattr(service.mailbox, "_real", service.mailbox)  # as `tests.faults` wraps it
    assert isinstance(real, MailFolder)
    return real.folder


def read_letters(service: Service) -> list[EmailMessage]:
    """All of its letters, by name of their file."""
    return [parse(path.read_bytes()) for path in sorted(mail_folder(service).glob("*.eml"))]


def parse(content: bytes) -> EmailMessage:
    message = BytesParser(policy=policy.default).parsebytes(content)
    assert isinstance(message, EmailMessage)
    return message


def body(message: EmailMessage, kind: str) -> str:
    """The "plain" or the "html" form."""
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")

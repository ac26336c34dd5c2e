"""`tenantry mail`: what did not arrive and what is done about it; how each mail looks."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import click

from tenantry import settings, wiring
from tenantry.adapters.mail import Letter
from tenantry.adapters.product_folder import read_product_folder
from tenantry.cli.bulk import opened
from tenantry.cli.listing import list_each
from tenantry.cli.options import json_lines_option, json_option, product_option
from tenantry.cli.terminal import echo
from tenantry.core.mail import MailKind
from tenantry.core.signup import normalize_email
from tenantry.flows.mailing import correcting
from tenantry.flows.mailing.preview import preview

ACTOR = "operator"


@click.group("mail")
def mail_command() -> None:
    """Mail: what was not sent, addresses to correct, how each mail looks."""


@mail_command.command("list")
@click.option("--refused", is_flag=True, help="Only what a mail server refused for good.")
@json_lines_option
def list_command(refused: bool, as_json: bool) -> None:
    """List mail that was not sent, one a line, oldest first."""
    with opened() as service:
        list_each(correcting.list_unsent(service, refused=refused), "mail", as_json=as_json)


@mail_command.command()
@click.argument("customer_id")
@click.argument("address")
@json_option
def correct(customer_id: str, address: str, as_json: bool) -> None:
    """Give a customer another ADDRESS; what waits for the old one goes out to it.

    Links that the old address got, to confirm it or to set a password, are worth nothing then.
    """
    with opened() as service:
        number = correcting.correct_address(
            service, customer_id, address, actor=ACTOR, now=service.now()
        )
    told = f"{customer_id} has another address; {_mails(number)}"
    echo(_facts(customer_id, number) if as_json else told)


@mail_command.command()
@click.argument("customer_id")
@click.argument("kind", required=False, type=click.Choice([kind.value for kind in MailKind]))
@json_option
def resend(customer_id: str, kind: str | None, as_json: bool) -> None:
    """Send again what was refused or has failed; with KIND also what was sent."""
    named = MailKind(kind) if kind else None
    with opened() as service:
        number = correcting.resend(service, customer_id, named, actor=ACTOR, now=service.now())
    echo(_facts(customer_id, number) if as_json else _mails(number))


def _facts(customer_id: str, number: int) -> str:
    return json.dumps({"customer_id": customer_id, "mails": number})


def _mails(number: int) -> str:
    return f"{number} mail goes out now" if number == 1 else f"{number} mails go out now"


@mail_command.command("preview")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@product_option
def preview_command(folder: Path, product_dir: Path | None) -> None:
    """Write every mail to DIR, as a made-up customer would get it; index.html leads to them.

    Needs neither database nor keys.
    """
    configured = settings.load(**({"product_dir": product_dir} if product_dir else {}))
    product = read_product_folder(configured.product_dir).product
    files = preview(product, wiring.mail_templates(configured), configured.public_url)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    echo(f"{folder / 'index.html'} leads to {len(files) // 2} mails")


@mail_command.command("send-test")
@click.argument("address")
def send_test(address: str) -> None:
    """Send a mail to ADDRESS, by the mail server that customers' mail goes to."""
    letter = Letter(
        reference=f"test-{secrets.token_hex(8)}",
        to=normalize_email(address),
        subject="A test of mail",
        text="Mail arrives here.\n",
        html="<p>Mail arrives here.</p>\n",
    )
    mailbox = wiring.mailbox(settings.load())
    try:
        mailbox.send(letter, wiring.utc_now())
    finally:
        mailbox.close()
    echo("sent")

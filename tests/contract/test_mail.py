"""Letters as other programs read them: composed, put into a folder, parsed again."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from tenantry import assets, settings, wiring
from tenantry.adapters.mail import Letter, MailFolder, compose
from tenantry.adapters.product_folder import read_mail_templates
from tenantry.cli.mail import mail_command
from tenantry.core.errors import MailError, ProductError
from tenantry.core.mail import MailKind
from tenantry.flows.mailing.templates import check_templates
from tests.mailbox import body, parse
from tools.work import ROOT

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
SENDER = "Tenantry <no-reply@tenantry.example>"
LETTER = Letter(
    reference="welcome-cust-bcdfghjkmn-1",
    to="customer@example.com",
    subject="Welcome",
    text="Hello,\n\nwelcome.\n",
    html="<p>Hello</p>\n",
)


@pytest.fixture
def folder(tmp_path: Path) -> MailFolder:
    return MailFolder(tmp_path / "mail", sender=SENDER)


def read(folder: MailFolder) -> EmailMessage:
    (path,) = folder.folder.iterdir()
    return parse(path.read_bytes())


def test_letter_comes_back_with_text_and_html(folder: MailFolder) -> None:
    folder.send(LETTER, NOW)
    message = read(folder)
    assert (message["From"], message["To"], message["Subject"]) == (SENDER, LETTER.to, "Welcome")
    assert message["Date"].datetime == NOW
    assert message["Message-ID"] == f"<{LETTER.reference}@tenantry.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Reply-To"] is None
    assert message.get_content_type() == "multipart/alternative"
    assert body(message, "plain") == LETTER.text
    assert body(message, "html") == LETTER.html
    assert not message.defects


def test_answer_goes_to_who_reads_it(folder: MailFolder) -> None:
    folder.send(replace(LETTER, reply_to="help@bücher.example"), NOW)
    assert read(folder)["Reply-To"] == "help@xn--bcher-kva.example"


def test_file_is_one_that_any_mail_program_opens(folder: MailFolder) -> None:
    folder.send(LETTER, NOW)
    content = (folder.folder / f"{LETTER.reference}.eml").read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n")
    assert content.isascii()


@pytest.mark.parametrize("break_", ["\r\n", "\n", "\r", "\u2028", "\x85"])
@pytest.mark.parametrize("field", ["to", "subject"])
def test_line_breaks_do_not_get_into_headers(field: str, break_: str) -> None:
    evil = f"a@example.com{break_}Bcc: b@example.com"
    letter = replace(LETTER, **{field: evil})
    with contextlib.suppress(MailError):  # some are refused, some cannot do harm
        sent = bytes(compose(letter, sender=SENDER, now=NOW))
        assert BytesParser(policy=policy.default).parsebytes(sent)["Bcc"] is None


@pytest.mark.parametrize("break_", ["\r\n", "\n", "\r"])
def test_carriage_return_and_line_feed_are_refused(break_: str) -> None:
    for letter in (
        replace(LETTER, subject=f"Hi{break_}Bcc: b@example.com"),
        replace(LETTER, to=f"a@example.com{break_}Bcc: b@example.com"),
        replace(LETTER, to=f"a{break_}Bcc: b@example.com"),
    ):
        with pytest.raises(MailError, match="header"):
            compose(letter, sender=SENDER, now=NOW)
    with pytest.raises(MailError, match="header"):
        compose(LETTER, sender=f"a@example.com{break_}Bcc: b@example.com", now=NOW)


@pytest.mark.parametrize(
    "address",
    [
        "jörg@example.com",
        "用户@例子.example",
        "jörg@bücher.example",
        "plus+tag@example.com",
        "o'neil@example.com",
    ],
)
def test_address_survives_as_it_is(folder: MailFolder, address: str) -> None:
    folder.send(replace(LETTER, to=address), NOW)
    (found,) = read(folder)["To"].addresses
    # beyond ASCII a header is UTF-8 as it is (RFC 6532), which this parser keeps as bytes
    assert found.addr_spec.encode("utf-8", "surrogateescape").decode() == address


def test_address_with_a_comma_is_still_one_recipient(folder: MailFolder) -> None:
    folder.send(replace(LETTER, to="a@example.com, b@example.com"), NOW)
    assert len(read(folder)["To"].addresses) == 1


def test_subject_and_text_survive_in_any_script(folder: MailFolder) -> None:
    said = "Grüße an Šüßer 🔑 & Söhne — " + "ø" * 200
    text = f"{said}\n.\nFrom here\n" + "x" * 2000 + "\n"
    folder.send(replace(LETTER, subject=said, text=text, html=f"<p>{said}</p>\n"), NOW)
    message = read(folder)
    assert message["Subject"] == said
    assert body(message, "plain") == text
    assert body(message, "html") == f"<p>{said}</p>\n"


def test_display_name_of_the_sender_survives(tmp_path: Path) -> None:
    folder = MailFolder(tmp_path / "mail", sender="Müller & Co <post@example.com>")
    folder.send(LETTER, NOW)
    (found,) = read(folder)["From"].addresses
    assert (found.display_name, found.addr_spec) == ("Müller & Co", "post@example.com")
    assert read(folder)["Message-ID"].endswith("@example.com>")


# The folder


def test_same_letter_again_replaces_its_file(folder: MailFolder) -> None:
    folder.send(LETTER, NOW)
    folder.send(replace(LETTER, subject="Again"), NOW)
    assert read(folder)["Subject"] == "Again"


def test_letters_of_one_customer_stand_side_by_side(folder: MailFolder) -> None:
    folder.send(LETTER, NOW)
    folder.send(replace(LETTER, reference="ready-cust-bcdfghjkmn-2"), NOW)
    assert len(list(folder.folder.iterdir())) == 2


def test_folder_that_is_a_file_is_an_error_to_try_again(tmp_path: Path) -> None:
    (tmp_path / "mail").touch()
    with pytest.raises(MailError, match="mail: ") as caught:
        MailFolder(tmp_path / "mail", sender=SENDER).send(LETTER, NOW)
    assert not caught.value.permanent


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    write = Path.write_bytes

    def write_a_part(path: Path, content: bytes) -> int:
        write(path, content[:100])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_a_part)
        yield


def test_full_disk_leaves_no_half_letter(folder: MailFolder, full_disk: None) -> None:
    with pytest.raises(MailError, match="No space left"):
        folder.send(LETTER, NOW)
    assert list(folder.folder.iterdir()) == []


# The vendor's texts


@pytest.fixture
def texts() -> dict[str, str]:
    return read_mail_templates(assets.path("tenant_templates"))


def test_sample_mail_is_accepted(texts: dict[str, str]) -> None:
    check_templates(texts)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "ready.html",
            "{% extends 'layout.htm' %}",
            r"^mail/ready\.html: there is no layout\.htm ",
        ),
        ("ready.txt", "{{ email | shout }}", r"^mail/ready\.txt:1: .*shout"),
        ("welcome.txt", "Subject: Hi\n\n{{ oops", r"^mail/welcome\.txt:3: .*\(this is Jinja2\)"),
        ("ready.html", "\n{% if %}", r"^mail/ready\.html:2: "),
        ("layout.html", "{% endblock %}", r"^mail/layout\.html:1: "),
        ("ready.txt", "a\nb {{ pasword }}", r"^mail/ready\.txt:2: there is no pasword \(.*email"),
    ],
)
def test_broken_mail_is_found_at_start_with_file_line_and_hint(
    texts: dict[str, str], name: str, text: str, says: str
) -> None:
    with pytest.raises(ProductError, match=says):
        check_templates(texts | {name: text})


@pytest.mark.parametrize("name", ["welcome.txt", "welcome.html", "ready.txt", "ready.html"])
def test_mail_that_lacks_a_form_is_found_at_start(texts: dict[str, str], name: str) -> None:
    del texts[name]
    with pytest.raises(ProductError, match=f"mail/{name}: is missing"):
        check_templates(texts)


def test_service_does_not_start_with_broken_mail(tmp_path: Path) -> None:
    product = tmp_path / "product"
    shutil.copytree(assets.path("tenant_templates"), product)
    configured = settings.load(data_dir=tmp_path / "data", product_dir=product)
    wiring.build(configured).database.close()
    (product / "mail" / "ready.txt").write_text("{{ oops")
    with pytest.raises(ProductError, match=r"mail/ready\.txt:1"):
        wiring.build(configured)
    (product / "mail" / "ready.txt").unlink()
    wiring.build(configured).database.close()  # with the sample's text


# Commands


def test_preview_needs_neither_database_nor_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANTRY_DATA_DIR", str(tmp_path / "data"))
    shown = tmp_path / "shown"
    result = CliRunner().invoke(mail_command, ["preview", str(shown)], catch_exceptions=False)
    assert str(shown / "index.html") in result.output
    assert not (tmp_path / "data").exists()
    leads_to = set(re.findall(r'href="([^"]+)"', (shown / "index.html").read_text()))
    assert leads_to | {"index.html"} == {path.name for path in shown.iterdir()}
    assert {f"{kind}.txt" for kind in set(MailKind) - {MailKind.TRIAL_ENDING}} <= leads_to


def test_preview_of_a_product_has_its_words_and_ours_for_the_rest(tmp_path: Path) -> None:
    inkwell = str(ROOT / "examples/inkwell")
    words = ["preview", str(tmp_path), "--product", inkwell]
    CliRunner().invoke(mail_command, words, catch_exceptions=False)
    assert "Inkwell workspace is open" in (tmp_path / "ready.txt").read_text()
    assert "Georgia" in (tmp_path / "suspended.html").read_text()
    assert "Inkwell instance is suspended" in (tmp_path / "suspended.html").read_text()


def test_letter_of_a_test_goes_where_mail_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANTRY_MAIL_DIR", str(tmp_path))
    result = CliRunner().invoke(mail_command, ["send-test", "you@example.com"])
    assert result.output == "sent\n"
    (path,) = tmp_path.glob("test-*.eml")
    assert parse(path.read_bytes())["To"] == "you@example.com"

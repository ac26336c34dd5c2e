"""What each mail says: as approved in `tests/data/mail`, in both forms, at the right time.

Changed the words on purpose? TENANTRY_REGENERATE=1 writes them anew; read the difference.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tenantry import assets
from tenantry.adapters.product_folder import read_mail_templates, read_product_folder
from tenantry.core.mail import FOR_SUPPORT, MailKind, name_to_greet, without_links
from tenantry.core.product import Product
from tenantry.flows.mailing import preview as previews
from tenantry.flows.mailing.preview import Scene, preview, scenes
from tools.work import ROOT

APPROVED = ROOT / "tests/data/mail"
PUBLIC_URL = "https://trial.example.com"
PRODUCT = read_product_folder(assets.path("tenant_templates")).product
TEXTS = read_mail_templates(assets.path("tenant_templates"))
FILES = preview(PRODUCT, TEXTS, PUBLIC_URL)
MAILS = sorted({Path(name).stem for name in FILES} - {"index"})
mails = pytest.mark.parametrize("mail", MAILS)


class Page(HTMLParser):
    """What stands in an HTML mail: its links, and what loads something or runs."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.elements: set[str] = set()
        self.words = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        found = [value or "" for name, value in attrs if name in ("href", "src")]
        self.links += [each for each in found if not each.startswith("mailto:")]

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.parametrize("name", sorted(FILES))
def test_mail_says_what_was_approved(name: str) -> None:
    if os.environ.get("TENANTRY_REGENERATE") == "1":
        APPROVED.mkdir(exist_ok=True)
        (APPROVED / name).write_text(FILES[name])
    assert FILES[name] == (APPROVED / name).read_text()


def test_every_kind_is_shown_and_nothing_else_was_approved() -> None:
    assert {scene.kind for scene in scenes(PRODUCT)} == set(MailKind)
    assert {path.name for path in APPROVED.iterdir()} == FILES.keys()


@mails
def test_both_forms_lead_to_the_same_places(mail: str) -> None:
    in_text = re.findall(r"https?://[^\s.]+(?:\.[^\s.]+)*", FILES[f"{mail}.txt"])
    in_html = Page(FILES[f"{mail}.html"]).links
    assert in_text == in_html
    assert all(link.startswith("https://") for link in in_html)


@mails
def test_both_forms_name_the_same_days(mail: str) -> None:
    day = re.compile(r"\b\d{1,2} [A-Z][a-z]+ 20\d\d\b")
    subject, _, text = FILES[f"{mail}.txt"].partition("\n")
    page = Page(FILES[f"{mail}.html"]).words
    assert set(day.findall(subject + text)) == set(day.findall(page))
    assert subject.removeprefix("Subject: ") in page


@mails
def test_html_needs_no_images_and_runs_nothing(mail: str) -> None:
    source = FILES[f"{mail}.html"]
    assert not Page(source).elements & {"img", "link", "script", "iframe", "form"}
    assert "url(" not in source
    assert "prefers-color-scheme: dark" in source


@mails
def test_customer_who_may_act_is_led_to_the_account(mail: str) -> None:
    kind = mail.partition("-")[0]
    acts_nowhere = FOR_SUPPORT | {
        MailKind.CONFIRM, MailKind.WELCOME, MailKind.DECLINED, MailKind.RESET,
        MailKind.PAYMENT_RECEIVED,
    }  # fmt: skip
    assert (f"{PUBLIC_URL}/account" in FILES[f"{mail}.txt"]) == (kind not in acts_nowhere)


# Time


def scene(kind: MailKind, product: Product = PRODUCT) -> Scene:
    return next(each for each in scenes(product) if each.kind == kind)


def subject(scene: Scene, product: Product = PRODUCT) -> str:
    return previews._letter(product, TEXTS, PUBLIC_URL, scene).subject


def text(scene: Scene, product: Product = PRODUCT) -> str:
    return previews._letter(product, TEXTS, PUBLIC_URL, scene).text


@pytest.mark.parametrize(
    ("day", "says"),
    [(7, "7 days left"), (12, "2 days left"), (13, "1 day left"), (14, "ends today")],
)
def test_reminder_counts_whole_days_of_the_customer_also_when_it_is_late(
    day: int, says: str
) -> None:
    reminder = scene(MailKind.TRIAL_ENDING)
    midnight = reminder.booking.trial_ends_at - timedelta(days=PRODUCT.trial.days + 1 - day)
    for at in (midnight, midnight + timedelta(days=1, seconds=-1)):
        assert says in subject(replace(reminder, at=at))


def test_days_are_those_where_the_customer_lives() -> None:
    reminder = scene(MailKind.TRIAL_ENDING)
    an_hour_before_midnight = reminder.booking.trial_ends_at - timedelta(days=2, hours=1)
    assert "2 days left" in subject(replace(reminder, at=an_hour_before_midnight))
    at = an_hour_before_midnight + timedelta(hours=1)  # it is 23:00 UTC still
    assert "1 day left" in subject(replace(reminder, at=at))


def test_trial_without_read_only_days_is_told_to_be_suspended() -> None:
    trial = PRODUCT.trial.model_copy(update={"grace_days": 0})
    product = PRODUCT.model_copy(update={"trial": trial})
    said = text(scene(MailKind.TRIAL_ENDING, product), product)
    assert "read-only" not in said
    assert "On 16 March 2027 it is suspended" in said


@pytest.mark.parametrize(
    ("was_asked_for", "button"), [(True, "Keep it</a>"), (False, "Your account</a>")]
)
def test_cancellation_says_how_it_is_taken_back(
    monkeypatch: pytest.MonkeyPatch, was_asked_for: bool, button: str
) -> None:
    about = replace(previews._about(scene(MailKind.CANCELLED)), was_asked_for=was_asked_for)
    monkeypatch.setattr(previews, "_about", lambda _: about)
    letter = previews._letter(PRODUCT, TEXTS, PUBLIC_URL, scene(MailKind.CANCELLED))
    assert button in letter.html
    assert "hoose a plan" not in letter.html + letter.text
    assert ("keeps it" in letter.text) is was_asked_for


def test_cancellation_of_a_trial_that_is_over_promises_no_day() -> None:
    cancelled = scene(MailKind.CANCELLED)
    trial = scene(MailKind.SUSPENDED).booking
    over = replace(trial, cancelled_at=trial.trial_ends_at + timedelta(days=60))
    over = replace(over, ends_at=trial.trial_ends_at)
    assert over.cancelled_at is not None
    said = text(replace(cancelled, booking=over, at=over.cancelled_at))
    assert "is suspended and answers no more" in said
    assert "runs as usual" not in said
    assert "choose a plan" in said


# Answers


@pytest.mark.parametrize(
    ("support", "text", "link"),
    [
        ("help@x.example", "Write to help@x.example.", "mailto:help@x.example"),
        ("https://x.example/help", "See https://x.example/help", "https://x.example/help"),
    ],
)
def test_answers_go_to_support(support: str, text: str, link: str) -> None:
    product = PRODUCT.model_copy(update={"support": support})
    letter = previews._letter(product, TEXTS, PUBLIC_URL, scene(MailKind.READY))
    assert letter.reply_to == (support if "@" in support else None)
    assert letter.text.endswith(f"Questions? {text}\n")
    assert f'<a href="{link}">{support}</a>.</p>' in letter.html


def test_product_without_support_has_none_to_write_to() -> None:
    product = PRODUCT.model_copy(update={"support": None})
    letter = previews._letter(product, TEXTS, PUBLIC_URL, scene(MailKind.READY))
    assert letter.reply_to is None
    assert "Questions" not in letter.text + letter.html


# Names


@pytest.mark.parametrize(
    "name",
    ["Ada Example", "J.R.R. Tolkien", "Dr. Müller", "O'Neil-Smith 3rd", "用户", "<b>Bobby</b>"],
)
def test_name_is_greeted_as_typed(name: str) -> None:
    assert name_to_greet(name) == without_links(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "you won 1000 EUR, claim at https://evil.example/x",
        "claim at evil.example",
        "claim at WWW.e.example",
        "http://[::1]/",
        "claim at evil\u3002example",
        "claim at 例子.测试",
    ],
)
def test_link_for_a_name_is_neither_greeted_nor_a_link(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    about = previews._about(scene(MailKind.WELCOME))
    about.customer.full_name = about.customer.company_name = name
    monkeypatch.setattr(previews, "_about", lambda _: about)
    letter = previews._letter(PRODUCT, TEXTS, PUBLIC_URL, scene(MailKind.WELCOME))
    for said in (letter.text, Page(letter.html).words):
        assert "Hello," in said
        assert name not in said
        assert said.count(without_links(name)) == 1
    assert name_to_greet(without_links(name)) is not None


@pytest.mark.parametrize("name", ["call +49 (30) 123-456", "you owe 99 EUR, call 0900123456"])
def test_telephone_number_for_a_name_is_not_greeted(name: str) -> None:
    assert name_to_greet(name) is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Booking.com B.V.", "Booking com B.V."),
        ("A/B Testing Ltd. & Co. 24/7", None),
        ("1234567 Ontario Inc.", None),
        ("U.S. Steel", None),
    ],
)
def test_company_is_named_as_typed_but_for_links(name: str, said: str | None) -> None:
    assert without_links(name) == (said or name)


# Support


@pytest.mark.parametrize(
    ("was_ready", "says"), [(False, "could not be set up"), (True, "no change")]
)
def test_support_is_told_whether_the_tenant_runs(
    monkeypatch: pytest.MonkeyPatch, was_ready: bool, says: str
) -> None:
    about = previews._about
    monkeypatch.setattr(previews, "_about", lambda each: replace(about(each), was_ready=was_ready))
    told = scene(MailKind.SUPPORT)
    assert says in subject(told)
    assert ("first deployment" in text(told)) != was_ready


def test_welcome_says_what_the_instance_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    about = previews._about(scene(MailKind.WELCOME))
    monkeypatch.setattr(previews, "_about", lambda _: about)
    for reason, says in (
        ("awaiting_confirmation", "once you have confirmed your address"),
        ("awaiting_approval", "once we have looked at your signup"),
        ("pending", "takes 2-3 minutes"),
    ):
        about.tenant.reason_code = reason
        said = " ".join(text(scene(MailKind.WELCOME)).split())
        assert says in said
        waits = reason != "pending"
        assert ("days begins when your instance is set up" in said) is waits
        assert ("Your trial runs" in said) is not waits

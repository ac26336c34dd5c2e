"""Every mail as a customer would get it, of a made-up customer: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html import escape

from tenantry.adapters.database.tables import Customer, Tenant
from tenantry.adapters.mail import Letter
from tenantry.core.days import day_ends
from tenantry.core.mail import OF_SUBSCRIPTION, MailKind
from tenantry.core.product import Product
from tenantry.core.subscription import Booking, timeline
from tenantry.flows.mailing.letters import About, compose_letter, words

_CUSTOMER = "cust-bcdfghjkmn"
_INSTANCE = f"https://{_CUSTOMER}.example.com"
_ZONE = "Europe/Zurich"
_STARTED = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_OF_PAID = {MailKind.PAYMENT_RECEIVED, MailKind.PLAN_CHANGED, MailKind.LICENSE_RENEWED}


@dataclass(frozen=True)
class Scene:
    """A mail, and when it is due for which booking."""

    name: str
    kind: MailKind
    booking: Booking
    at: datetime


def preview(product: Product, texts: Mapping[str, str], public_url: str) -> dict[str, str]:
    """File name -> content: the text and the HTML of each mail, and a page that leads to them."""
    files: dict[str, str] = {}
    letters = {scene.name: _letter(product, texts, public_url, scene) for scene in scenes(product)}
    for name, letter in letters.items():
        files[f"{name}.txt"] = f"Subject: {letter.subject}\n\n{letter.text}"
        files[f"{name}.html"] = letter.html
    return files | {"index.html": _index(product, letters)}


def scenes(product: Product) -> list[Scene]:
    """Each kind at a moment at which it is due; the reminders of a trial one by one."""
    found: dict[str, Scene] = {}
    for scene in (*_of_time(product), *_of_events(product)):
        found.setdefault(scene.name, scene)
    return list(found.values())


def _of_time(product: Product) -> Iterator[Scene]:
    trial = _trial(product)
    for booking in (trial, _past_due(trial, product), _cancelled(trial, product)):
        for moment in timeline(booking, product):
            if moment.mail is not None:
                several = moment.mail == MailKind.TRIAL_ENDING
                name = f"{moment.mail}-{moment.period}" if several else moment.mail
                yield Scene(name, moment.mail, booking, moment.at + _MINUTE)


def _of_events(product: Product) -> Iterator[Scene]:
    trial = _trial(product)
    paid = _paid(trial, product)
    for kind in MailKind:
        if kind not in OF_SUBSCRIPTION:
            booking = paid if kind in _OF_PAID else trial
            yield Scene(kind, kind, booking, (booking.paid_since or _STARTED) + _MINUTE)


def _trial(product: Product) -> Booking:
    ends = day_ends(_STARTED, _ZONE, after=product.trial.days)
    return Booking(_STARTED, _ZONE, ends, product.trial.plan)


def _paid(trial: Booking, product: Product) -> Booking:
    """With the product's last plan, for a month."""
    since = trial.trial_ends_at - timedelta(days=1)
    plan = list(product.plans)[-1]
    return replace(trial, plan=plan, paid_since=since, paid_until=since + timedelta(days=31))


def _past_due(trial: Booking, product: Product) -> Booking:
    paid = _paid(trial, product)
    return replace(paid, past_due_since=paid.paid_until)


def _cancelled(trial: Booking, product: Product) -> Booking:
    paid = _paid(trial, product)
    return replace(paid, cancelled_at=_STARTED + timedelta(days=20), ends_at=paid.paid_until)


def _letter(product: Product, texts: Mapping[str, str], public_url: str, scene: Scene) -> Letter:
    says = words(product, public_url, _about(scene), scene.at)
    return compose_letter(
        texts, scene.kind, says, to="ada@example.com", reference=f"{scene.name}-{_CUSTOMER}"
    )


def _about(scene: Scene) -> About:
    name = f"customer-{_CUSTOMER.removeprefix('cust-')}"
    return About(
        customer=Customer(
            customer_id=_CUSTOMER,
            email="ada@example.com",
            company_name="Example & Daughters",
            full_name="Ada Example",
        ),
        tenant=Tenant(
            customer_id=_CUSTOMER,
            name=name,
            instance_url=_INSTANCE,
            status="failed",
            reason_code="sync_failed",
            detail="the cluster refused the object: exceeded quota",
            resource="Deployment web",
        ),
        booking=scene.booking,
        token="a-random-token",  # noqa: S106 - opens nothing
        application_url=f"https://argocd.example.com/applications/{name}",
        was_ready=False,
        was_asked_for=True,
    )


def _index(product: Product, letters: Mapping[str, Letter]) -> str:
    lines = "\n".join(
        f'<li><a href="{name}.html">{escape(letter.subject)}</a> (<a href="{name}.txt">text</a>)'
        for name, letter in letters.items()
    )
    title = f"Mail of {escape(product.title)}"
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<h1>{title}</h1>\n<ul>\n{lines}\n</ul>\n"
    )

"""The customer's own page, on the real flows: what it shows in each stage, and what it decides."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from tenantry.adapters.database.base import Base
from tenantry.adapters.database.tables import (
    Audit,
    BillingEvent,
    Customer,
    LicenseRow,
    Login,
    Subscription,
)
from tenantry.core.subscription import Event, EventKind, Stage
from tenantry.flows.accounts.choices import MOVES_A_DAY
from tenantry.flows.accounts.logins import start_login
from tenantry.flows.signups.signup import SignedUp
from tenantry.flows.subscriptions.events import Told, tell
from tenantry.flows.subscriptions.following import follow_due
from tenantry.web.app import create_app
from tests.system.world import World, make_world

Row = TypeVar("Row", bound=Base)

BROWSER = {"Accept": "text/html,*/*;q=0.8"}
ZONE = "Europe/Berlin"
START = datetime(2026, 11, 23, 9, tzinfo=UTC)


@dataclass
class Visitor:
    """A browser in which a customer of the world is logged in."""

    world: World
    client: FlaskClient
    signed_up: SignedUp

    @property
    def customer_id(self) -> str:
        return self.signed_up.customer_id

    def get(self, path: str = "/account") -> TestResponse:
        return self.client.get(path, headers=BROWSER)

    def read(self, path: str = "/account") -> str:
        answer = self.get(path)
        assert answer.status_code == 200
        return answer.get_data(as_text=True)

    def form_token(self) -> str:
        found = re.search(r'name="form" value="([0-9a-f]+)"', self.read())
        assert found
        return found[1]

    def send(self, path: str, **fields: str) -> TestResponse:
        data = {"form": self.form_token(), **fields}
        return self.client.post(path, data=data, headers=BROWSER)

    def only(self, table: type[Row]) -> Row:
        """The customer's one row of a table."""
        mine = select(table).where(table.__table__.c.customer_id == self.customer_id)
        with self.world.service.database.read() as session:
            return session.scalars(mine).one()

    def subscription(self) -> Subscription:
        return self.only(Subscription)

    def pass_days(self, days: float) -> None:
        """Time passes, and the worker follows."""
        self.world.clock.time += timedelta(days=days)
        follow_due(self.world.service, now=self.world.clock())
        self.log_in()

    def log_in(self) -> str:
        now = self.world.clock()
        with self.world.service.database.write() as session:
            token = start_login(session, self.customer_id, agent="Firefox on Linux", now=now)
        self.client.set_cookie("tenantry", token)
        return token

    def tell(self, kind: EventKind, **about: object) -> None:
        now = self.world.clock()
        event = Event(f"{self.customer_id} {now.timestamp()}", kind, now, **about)  # type: ignore[arg-type]
        tell(self.world.service, Told(event, kind, "operator", customer_id=self.customer_id))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all: each test has a customer of its own, at the same time of the world's."""
    folder = tmp_path_factory.mktemp("account")
    world = make_world(folder, f"sqlite:///{folder}/tenantry.db")
    yield world
    world.service.database.close()


@pytest.fixture
def visitor(world: World) -> Visitor:
    world.clock.time = START
    app = create_app(world.service)
    visitor = Visitor(world, app.test_client(), world.sign_up(time_zone=ZONE))
    visitor.log_in()
    return visitor


def bring_to(visitor: Visitor, stage: Stage) -> None:
    """Live until there."""
    now = visitor.world.clock()
    if stage in (Stage.ACTIVE, Stage.PAST_DUE):
        visitor.tell(EventKind.PAID, plan="professional", until=now + timedelta(days=30))
    if stage == Stage.PAST_DUE:
        visitor.tell(EventKind.PAYMENT_FAILED)
    if stage == Stage.CANCELLED:
        visitor.tell(EventKind.CANCELLED)
    visitor.pass_days({Stage.READ_ONLY: 16, Stage.SUSPENDED: 19}.get(stage, 0))


TOLD = {
    Stage.TRIALING: "Your trial runs until the end of 7 December 2026 (14 days left). Then it is "
    "read-only until the end of 10 December 2026. After that it is suspended. Your data is kept.",
    Stage.ACTIVE: "Your plan is paid for until 23 December 2026, 10:00; the next payment carries",
    Stage.PAST_DUE: "A payment has not reached us. Your instance runs until the end of 6 January",
    Stage.READ_ONLY: "Your trial has ended. Your instance is read-only until the end of 10 December"
    " 2026 (1 day left). Then it is suspended. Your data is kept.",
    Stage.SUSPENDED: "Your trial has ended. Your instance is suspended. Your data is kept. Choose a"
    " plan, and it runs again.",
    Stage.CANCELLED: "Your instance runs until the end of 7 December 2026 (14 days left). Then it "
    "is read-only until the end of 10 December 2026. After that it is suspended. Your data is",
}


@pytest.mark.parametrize("stage", list(Stage))
def test_it_tells_in_words_where_a_subscription_stands(visitor: Visitor, stage: Stage) -> None:
    bring_to(visitor, stage)
    assert visitor.subscription().status == stage
    page = visitor.read()
    assert TOLD[stage] in page
    assert ("/account/cancel" in page) == (stage not in (Stage.CANCELLED, Stage.SUSPENDED))
    assert ("/account/resume" in page) == (stage == Stage.CANCELLED)


def test_it_shows_instance_license_and_plans(visitor: Visitor) -> None:
    page, signed_up = visitor.read(), visitor.signed_up
    assert signed_up.instance_url.partition("://")[2] in page
    assert signed_up.license_token not in page
    row = visitor.only(LicenseRow)
    assert f'<code class="muted">{row.license_id}</code>' in page
    assert "Trial, valid until" in page
    for name, plan in visitor.world.service.product.plans.items():
        assert plan.payment_link
        assert plan.payment_link.replace("{customer_id}", visitor.customer_id) in page, name


def test_a_plan_that_is_paid_for_is_marked_and_others_can_be_chosen(visitor: Visitor) -> None:
    bring_to(visitor, Stage.ACTIVE)
    (booked,) = re.findall(r'<li class="booked">(.*?)</li>', visitor.read(), re.DOTALL)
    assert "<strong>Professional</strong>" in booked
    assert "Your plan" in booked
    assert "href" not in booked
    visitor.tell(EventKind.PAYMENT_FAILED)
    (booked,) = re.findall(r'<li class="booked">(.*?)</li>', visitor.read(), re.DOTALL)
    assert "Pay<" in booked


def test_the_license_is_a_file_that_nobody_keeps(visitor: Visitor) -> None:
    answer = visitor.get("/account/license")
    assert answer.get_data(as_text=True) == visitor.signed_up.license_token
    assert answer.headers["Content-Disposition"] == 'attachment; filename="license.jwt"'
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_cancellation_says_what_happens_and_can_be_taken_back(visitor: Visitor) -> None:
    page = visitor.read("/account/cancel")
    assert "<li>Your instance runs until the end of 7 December 2026 (14 days left).</li>" in page
    assert "<li>Then it is read-only until the end of 10 December 2026.</li>" in page
    assert "<li>Your data is kept.</li>" in page
    assert visitor.subscription().cancelled_at is None  # looking is not deciding
    for _ in range(2):
        assert visitor.send("/account/cancel").headers["Location"] == "/account?done=cancelled"
    assert visitor.get("/account/cancel").headers["Location"] == "/account"
    assert visitor.subscription().status == Stage.CANCELLED
    for _ in range(2):
        visitor.send("/account/resume")
    assert visitor.subscription().status == Stage.TRIALING
    visitor.send("/account/cancel")
    with visitor.world.service.database.read() as session:
        rows = select(BillingEvent).where(BillingEvent.customer_id == visitor.customer_id)
        told = session.scalars(rows.order_by(BillingEvent.id)).all()
    assert [each.kind for each in told] == ["cancelled", "resumed", "cancelled"]
    assert {each.actor for each in told} == {"customer"}


def test_what_has_ended_is_not_taken_back(visitor: Visitor) -> None:
    visitor.send("/account/cancel")
    visitor.pass_days(15)
    assert "/account/resume" not in visitor.read()
    assert visitor.send("/account/resume").headers["Location"] == "/account"
    assert visitor.subscription().status == Stage.CANCELLED


def test_a_trial_keeps_its_last_day_in_another_time_zone(visitor: Visitor) -> None:
    before = visitor.subscription().trial_ends_at
    answer = visitor.send("/account/time-zone", time_zone="America/New_York")
    assert answer.headers["Location"] == "/account?done=time-zone"
    page = visitor.read()
    assert "Your trial runs until the end of 7 December 2026" in page
    assert 'value="America/New_York"' in page
    after = visitor.subscription().trial_ends_at
    assert after - before == timedelta(hours=6)
    tenant = visitor.world.tenant(visitor.customer_id)
    with visitor.world.service.database.read() as session:
        license_row = session.get_one(LicenseRow, tenant.approved["license_id"])
        moved = select(Audit).where(
            Audit.action == "customer.time_zone", Audit.customer_id == visitor.customer_id
        )
        (audit,) = session.scalars(moved)
    assert license_row.expires_at == after
    assert audit.details == {"before": ZONE, "after": "America/New_York"}
    assert tenant.generation == 2


def test_a_cancelled_trial_ends_with_its_day_in_another_time_zone(visitor: Visitor) -> None:
    visitor.send("/account/cancel")
    visitor.send("/account/time-zone", time_zone="Asia/Tokyo")
    row = visitor.subscription()
    assert row.ends_at == row.trial_ends_at == datetime(2026, 12, 7, 15, tzinfo=UTC)


def test_a_trial_that_has_ended_does_not_come_back_further_west(visitor: Visitor) -> None:
    bring_to(visitor, Stage.READ_ONLY)
    before = visitor.subscription().trial_ends_at
    visitor.send("/account/time-zone", time_zone="Pacific/Pago_Pago")
    assert visitor.subscription().trial_ends_at == before
    assert visitor.subscription().status == Stage.READ_ONLY


def test_a_wrong_time_zone_is_told_at_its_field(visitor: Visitor) -> None:
    answer = visitor.send("/account/time-zone", time_zone="<Mars>/Olympus")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 400
    assert 'id="time_zone-error" role="alert">Unknown time zone' in page
    assert 'value="&lt;Mars&gt;/Olympus"' in page
    assert visitor.only(Customer).time_zone == ZONE


def test_the_time_zone_changes_a_few_times_a_day(visitor: Visitor) -> None:
    zones = ["Asia/Tokyo", ZONE, "Asia/Tokyo", ZONE]
    answers = [visitor.send("/account/time-zone", time_zone=zone) for zone in zones]
    assert [each.status_code for each in answers] == [303] * MOVES_A_DAY + [429]
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 24 * 3600
    visitor.pass_days(1)
    assert visitor.send("/account/time-zone", time_zone="Asia/Kathmandu").status_code == 303


def test_sessions_are_listed_and_ended(visitor: Visitor) -> None:
    others = [visitor.log_in() for _ in range(2)]
    visitor.log_in()
    page = visitor.read()
    assert page.count("Firefox on Linux") == 4  # with the first one
    assert page.count("this session, ") == 1
    (ended, *_) = re.findall(r'name="session" value="([0-9a-f]+)"', page)
    visitor.send("/account/sessions/end", session=ended)
    assert visitor.read().count("Firefox on Linux") == 3
    visitor.send("/account/sessions/end")
    assert visitor.read().count("Firefox on Linux") == 1
    stranger = visitor.client.application.test_client()
    for token in others:
        stranger.set_cookie("tenantry", token)
        answer = stranger.get("/account", headers=BROWSER)
        assert answer.headers["Location"] == "/login?next=/account"
    assert visitor.only(Login).agent == "Firefox on Linux"

"""The customer's own page, on the real flows: what it shows in each stage, and what it decides."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from tenantry.adapters.database.tables import (
    Audit,
    BillingEvent,
    Customer,
    LicenseRow,
    Login,
    Outbox,
    Secret,
)
from tenantry.core.mail import MailKind
from tenantry.core.subscription import EventKind, Stage
from tenantry.flows.accounts.choices import MOVES, TAKEN_BACK
from tenantry.flows.accounts.first_login import SHOWINGS
from tenantry.flows.licensing.revoking import find_revocable, revoke
from tenantry.flows.mailing.letters import write
from tenantry.flows.subscriptions.booking import BILLING
from tests.web.visitor import BROWSER, COOKIE, ZONE, Visitor, bring_to

TOLD = {
    Stage.TRIALING: "Your trial runs until the end of 7 December 2026 (14 days left). Then it is "
    "read-only until the end of 10 December 2026. After that it is suspended. Your data is kept.",
    Stage.ACTIVE: "Your plan is paid for until 23 December 2026, 10:00 CET; the next payment",
    Stage.PAST_DUE: "A payment has not reached us. Your instance runs until the end of 6 January",
    Stage.READ_ONLY: "Your trial has ended. Your instance is read-only until the end of 10 December"
    " 2026 (1 day left). Then it is suspended. Your data is kept.",
    Stage.SUSPENDED: "Your trial has ended. Your instance is suspended. Your data is kept. Choose a"
    " plan, and it runs again.",
    Stage.CANCELLED: "Your instance runs until the end of 7 December 2026 (14 days left). Then it "
    "is read-only until the end of 10 December 2026. After that it is suspended. Your data is",
}


def test_page_and_mail_tell_the_same_end(visitor: Visitor) -> None:
    bring_to(visitor, Stage.ACTIVE)
    told = "paid for until 23 December 2026, 10:00 CET"
    assert told in visitor.read()
    service = visitor.world.service
    thanks = Outbox(customer_id=visitor.customer_id, kind=MailKind.PAYMENT_RECEIVED)
    with service.database.read() as session:
        letter = write(service, session, thanks, visitor.world.clock())
    assert told in letter.text
    assert "paid for until <strong>23 December 2026, 10:00 CET</strong>" in letter.html


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
    assert "Max devices: 10,000" in page
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


def test_the_status_page_speaks_of_a_trial_to_who_does_not_pay(visitor: Visitor) -> None:
    status = f"/status/{visitor.signed_up.status_token}"
    assert "<dt>Trial</dt>" in visitor.read(status)
    bring_to(visitor, Stage.ACTIVE)
    assert "<dt>Trial</dt>" not in visitor.read(status)


PORTAL = "https://pay.iotistic.example/portal?client_reference_id="
PAYMENT = "https://pay.iotistic.example/professional"


@pytest.mark.parametrize("then", [None, EventKind.PAYMENT_FAILED, EventKind.CANCELLED])
def test_who_pays_is_led_to_the_portal_and_not_to_a_second_payment(
    visitor: Visitor, then: EventKind | None
) -> None:
    assert PAYMENT in visitor.read()
    until = visitor.world.clock() + timedelta(days=30)
    visitor.tell(EventKind.PAID, by=BILLING, plan="starter", until=until)
    if then:
        visitor.tell(then, by=BILLING)
    page = visitor.read()
    assert f"{PORTAL}{visitor.customer_id}" in page
    assert PAYMENT not in page
    assert "/account/resume" not in page
    assert ("It was cancelled where you pay" in page) == (then == EventKind.CANCELLED)
    if then != EventKind.CANCELLED:
        assert f"{PORTAL}{visitor.customer_id}" in visitor.read("/account/cancel")
    visitor.send("/account/resume")
    assert (visitor.subscription().status == Stage.CANCELLED) == (then == EventKind.CANCELLED)
    visitor.pass_days(120)
    assert PAYMENT in visitor.read()
    assert PORTAL not in visitor.read()


def test_without_a_portal_who_pays_asks(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    paid = visitor.world.service.product.paid
    monkeypatch.setitem(paid.__dict__, "portal", None)
    visitor.tell(EventKind.PAID, by=BILLING, plan="starter")
    page = visitor.read()
    assert PAYMENT not in page
    assert "Ask us" in page


def test_the_license_is_a_file_that_nobody_keeps(visitor: Visitor) -> None:
    answer = visitor.get("/account/license")
    assert answer.get_data(as_text=True) == visitor.signed_up.license_token
    assert answer.headers["Content-Disposition"] == 'attachment; filename="license.jwt"'
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_license_that_was_revoked_is_not_called_valid(visitor: Visitor) -> None:
    service = visitor.world.service
    found = find_revocable(service, license_id=visitor.only(LicenseRow).license_id)
    revoke(service, found, actor="test")
    page = visitor.read()
    assert "Trial, revoked" in page
    assert "Trial, valid" not in page


def test_who_opens_the_address_of_a_form_is_led_to_the_account(visitor: Visitor) -> None:
    for path in (
        "/account/first-login", "/account/resume", "/account/sessions/end", "/account/time-zone",
        "/confirm", "/logout",
    ):  # fmt: skip
        answer = visitor.get(path)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/account")
        program = visitor.client.get(path)
        assert (program.status_code, program.headers["Allow"]) == (405, "OPTIONS, POST")
        assert visitor.client.put(path, headers=BROWSER).status_code == 405
    assert visitor.get("/hooks/billing").status_code == 405


def test_the_first_login_is_shown_when_asked_for_and_that_is_on_record(visitor: Visitor) -> None:
    answer = visitor.send("/account/first-login")
    page = answer.get_data(as_text=True)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    with visitor.world.service.database.read() as session:
        row = session.get_one(Secret, (visitor.customer_id, "ADMIN_PASSWORD"))
        shown = select(Audit.actor).where(
            Audit.action == "customer.first_login_shown", Audit.customer_id == visitor.customer_id
        )
        assert session.scalars(shown).all() == [visitor.customer_id]
    assert f"<code>{visitor.world.service.vault.unwrap(row.wrapped)}</code>" in page
    assert f"<code>{visitor.customer_id}</code>" in page
    assert "/login" in page


def test_the_first_login_is_shown_so_often_an_hour(visitor: Visitor) -> None:
    told = [visitor.send("/account/first-login").status_code for _ in range(SHOWINGS.count + 1)]
    assert told == [200] * SHOWINGS.count + [429]


def test_a_cancellation_says_what_happens_and_can_be_taken_back(visitor: Visitor) -> None:
    page = visitor.read("/account/cancel")
    assert "<li>Your instance runs until the end of 7 December 2026 (14 days left).</li>" in page
    assert "<li>Then it is read-only until the end of 10 December 2026.</li>" in page
    assert "<li>Your data is kept.</li>" in page
    assert visitor.subscription().cancelled_at is None  # looking is not deciding
    for is_said in (True, False, False):
        assert visitor.send("/account/cancel").headers["Location"] == "/account"
        assert ("Your subscription is cancelled." in visitor.read()) is is_said
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


@pytest.mark.parametrize("stage", [Stage.SUSPENDED, Stage.CANCELLED])
def test_where_there_is_nothing_to_cancel_nothing_is_cancelled(
    visitor: Visitor, stage: Stage
) -> None:
    bring_to(visitor, stage)
    cancelled_at = visitor.subscription().cancelled_at
    assert visitor.send("/account/cancel").headers["Location"] == "/account"
    found = visitor.subscription()
    assert (found.status, found.cancelled_at) == (stage, cancelled_at)


def test_who_takes_back_again_and_again_waits_but_may_cancel(visitor: Visitor) -> None:
    for _ in range(TAKEN_BACK.count):
        visitor.send("/account/cancel")
        assert visitor.send("/account/resume").status_code == 303
    visitor.send("/account/cancel")
    refused = visitor.send("/account/resume")
    assert (refused.status_code, visitor.subscription().status) == (429, Stage.CANCELLED)
    assert 0 < int(refused.headers["Retry-After"]) <= 4 * 3600
    visitor.pass_days(1)
    visitor.send("/account/resume")
    assert visitor.subscription().status == Stage.TRIALING


def test_what_has_ended_is_not_taken_back(visitor: Visitor) -> None:
    visitor.send("/account/cancel")
    visitor.pass_days(15)
    assert "/account/resume" not in visitor.read()
    assert visitor.send("/account/resume").headers["Location"] == "/account"
    assert visitor.subscription().status == Stage.CANCELLED


def test_a_trial_keeps_its_last_day_in_another_time_zone(visitor: Visitor) -> None:
    before = visitor.subscription().trial_ends_at
    answer = visitor.send("/account/time-zone", time_zone="America/New_York")
    assert answer.headers["Location"] == "/account"
    page = visitor.read()
    assert "Your time zone is saved." in page
    assert "Your time zone is saved." not in visitor.read()
    assert "Your trial runs until the end of 7 December 2026" in page
    assert "<option selected>America/New_York</option>" in page
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
    assert audit.details == {}, "a zone is personal, and the audit stays"
    assert tenant.generation == 2


def test_a_cancelled_trial_ends_with_its_day_in_another_time_zone(visitor: Visitor) -> None:
    visitor.send("/account/cancel")
    visitor.send("/account/time-zone", time_zone="Asia/Tokyo")
    row = visitor.subscription()
    assert row.ends_at == row.trial_ends_at == datetime(2026, 12, 7, 15, tzinfo=UTC)


def test_a_cancelled_plan_ends_with_its_day_in_another_time_zone(visitor: Visitor) -> None:
    visitor.tell(EventKind.PAID, plan="professional", until=datetime(2026, 12, 23, 9, tzinfo=UTC))
    visitor.tell(EventKind.CANCELLED)
    visitor.send("/account/time-zone", time_zone="Asia/Tokyo")
    assert visitor.subscription().ends_at == datetime(2026, 12, 23, 15, tzinfo=UTC)
    visitor.world.clock.time = datetime(2026, 12, 23, 16, tzinfo=UTC)
    visitor.log_in()
    visitor.send("/account/time-zone", time_zone="America/New_York")
    assert visitor.subscription().ends_at == datetime(2026, 12, 23, 15, tzinfo=UTC), "it is over"


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
    assert "Mars" not in page
    assert f"<option selected>{ZONE}</option>" in page
    assert visitor.only(Customer).time_zone == ZONE


def test_the_time_zone_changes_a_few_times_a_day(visitor: Visitor) -> None:
    zones = ["Asia/Tokyo", ZONE, "Asia/Tokyo", ZONE]
    answers = [visitor.send("/account/time-zone", time_zone=zone) for zone in zones]
    assert [each.status_code for each in answers] == [303] * MOVES.count + [429]
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
        stranger.set_cookie(COOKIE, token)
        answer = stranger.get("/account", headers=BROWSER)
        assert answer.headers["Location"] == "/login?next=/account"
    assert visitor.only(Login).agent == "Firefox on Linux"

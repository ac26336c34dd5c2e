"""The signup over HTTP, repeated and limited (R6, R8), on the real flows with a database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, text
from werkzeug.test import TestResponse

from tenantry import settings, wiring
from tenantry.adapters.database.base import Base
from tenantry.adapters.vault import Vault
from tenantry.core.errors import DatabaseUnavailable, RequestRunning, TenantryError
from tenantry.flows import housekeeping
from tenantry.flows.service import Service
from tenantry.flows.signups.signup import signup
from tenantry.web import idempotency
from tenantry.web.app import create_app

URL = "/api/customers/signup"
GOOD = {"email": "test@example.com", "password": "SecurePass123", "company_name": "Test Corp"}
KEY = {"Idempotency-Key": "1f0c2c1e-a-key"}
BROWSER = {"Accept": "text/html,*/*;q=0.8"}


class Clock:
    """A clock that only tests move."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


CONFIRM, APPROVE = {"confirm_email": True}, {"approve_signups": True}
REVIEW: dict[str, Any] = {"cells": {"main": {"review_signup": "review"}}}
REVIEW_ALL: dict[str, Any] = {"cells": {"main": {"review_everything": True}}}
# what is set; when the instance is set up, and when its trial begins
WAITS: list[tuple[dict[str, Any], str, str]] = [
    (CONFIRM, "your address is confirmed", "when your address is confirmed"),
    (APPROVE, "we have looked at your signup", "when we have looked at your signup"),
    (
        CONFIRM | APPROVE,
        "your address is confirmed and we have looked at your signup",
        "when your address is confirmed and we have looked at your signup",
    ),
    (REVIEW, "its configuration is reviewed", "today"),
    (REVIEW_ALL, "its configuration is reviewed", "today"),
    (
        CONFIRM | APPROVE | REVIEW,
        (
            "your address is confirmed, we have looked at your signup "
            "and its configuration is reviewed"
        ),
        "when your address is confirmed and we have looked at your signup",
    ),
]


@pytest.fixture
def make_app(tmp_path: Path, clock: Clock) -> Iterator[Any]:
    services: list[Service] = []

    def make(**changes: Any) -> Flask:
        services.append(wiring.build(settings.load(data_dir=tmp_path, **changes), now=clock))
        return create_app(services[-1])

    yield make
    for service in services:
        service.database.close()


@pytest.fixture
def app(make_app: Any) -> Flask:
    made: Flask = make_app()
    return made


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def post(client: FlaskClient, key: str | None = None, **changes: str) -> TestResponse:
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(URL, json={**GOOD, **changes}, headers=headers)


def count(app: Flask, table: str) -> int:
    with service_of(app).database.read() as session:
        rows = select(func.count()).select_from(Base.metadata.tables[table])
        return session.scalar(rows) or 0


def service_of(app: Flask) -> Service:
    service: Service = app.extensions["tenantry"]
    return service


def test_the_same_request_again_has_the_same_answer(client: FlaskClient, app: Flask) -> None:
    first, second = (client.post(URL, json=GOOD, headers=KEY) for _ in range(2))
    assert first.status_code == second.status_code == 201
    assert first.data == second.data
    assert first.headers["Location"] == second.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert count(app, "customers") == 1


def test_what_counts_is_what_the_body_means(client: FlaskClient) -> None:
    first = client.post(URL, json=GOOD, headers=KEY)
    as_form = client.post(URL, data={**GOOD, "other": "field", "full_name": ""}, headers=KEY)
    spelt = client.post(URL, json={**GOOD, "company_name": " Test Corp "}, headers=KEY)
    assert first.data == as_form.data == spelt.data


@pytest.mark.parametrize("name", ["email", "password", "company_name", "full_name", "time_zone"])
def test_a_stranger_with_another_body_gets_nothing(client: FlaskClient, name: str) -> None:
    mine = client.post(URL, json=GOOD, headers=KEY)
    other = {"email": "x@example.com", "time_zone": "Europe/Berlin"}.get(name, "Another Thing")
    theirs = client.post(URL, json={**GOOD, name: other}, headers=KEY)
    assert theirs.status_code == 422
    assert theirs.get_json()["code"] == "idempotency_key_reused"
    assert mine.get_json()["license"]["jwt"] not in theirs.get_data(as_text=True)


@pytest.mark.parametrize("key", ["", "two words", "ü", "x" * 256, "tab\there"])
def test_what_is_no_key_is_refused(client: FlaskClient, app: Flask, key: str) -> None:
    answer = client.post(URL, json=GOOD, headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.get_json()["message"]
    assert count(app, "customers") == 0


@pytest.mark.parametrize("key", ["x", "~" * 255, '"8e03978e-40d5-43dd-bc93-6894a57f9324"'])
def test_every_visible_text_is_a_key(client: FlaskClient, key: str) -> None:
    assert [post(client, key).status_code for _ in range(2)] == [201, 201]


def test_a_refused_request_leaves_its_key_free(client: FlaskClient, app: Flask) -> None:
    assert post(client).status_code == 201
    assert post(client, "k", password="short").status_code == 400
    assert post(client, "k").status_code == 409
    assert count(app, "idempotency_keys") == 0
    assert post(client, "k", email="other@example.com").status_code == 201


def test_of_racing_requests_with_one_key_all_agree(app: Flask) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: post(app.test_client(), "race"), range(6)))
    assert count(app, "customers") == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.data for answer in answers if answer.status_code == 201}) == 1
    running = [answer for answer in answers if answer.status_code == 409]
    assert all(answer.get_json()["code"] == "idempotency_running" for answer in running)
    assert all(answer.headers["Retry-After"] == "1" for answer in running)
    assert post(app.test_client(), "race").headers["Idempotency-Replayed"] == "true"


def test_a_key_of_a_process_that_died_is_taken_over(
    client: FlaskClient, app: Flask, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_: str) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tenantry.flows.signups.signup.hash_password", die)
        with pytest.raises(KeyboardInterrupt):
            post(client, "died")
    clock.time += timedelta(seconds=59)
    assert post(client, "died").status_code == 409
    clock.time += timedelta(seconds=1)
    assert post(client, "died").status_code == 201


def test_a_key_is_forgotten_after_a_day(client: FlaskClient, app: Flask, clock: Clock) -> None:
    for number in range(5):
        assert post(client, f"old-{number}", email=f"{number}@example.com").status_code == 201
    clock.time += timedelta(hours=23, minutes=59)
    assert post(client, "old-0", email="0@example.com").status_code == 201
    clock.time += timedelta(minutes=2)
    assert post(client, "old-0", email="new@example.com").status_code == 201
    assert housekeeping.forget_old(service_of(app), now=clock()) == 4
    assert count(app, "idempotency_keys") == 1


def test_a_rotation_of_the_vault_keeps_keys(
    make_app: Any, tmp_path: Path, client: FlaskClient
) -> None:
    first = post(client, "k")
    ring = tmp_path / "keys" / "vault.keys"
    old = ring.read_text().splitlines()[-1]
    ring.write_text(f"{'A' * 43}=\n{old}\n")
    again = post(make_app().test_client(), "k")
    assert again.data == first.data
    digest = Vault([old]).digest("p", "v")
    assert Vault(["A" * 43 + "=", old]).recognizes("p", "v", digest)
    assert not Vault(["A" * 43 + "="]).recognizes("p", "v", digest)
    assert Vault([old]).digest("q", "v") != digest


# The page


def fill_in(page: str, **changes: str) -> dict[str, str]:
    (key,) = re.findall(r'name="idempotency_key" value="([^"]+)"', page)
    return {**GOOD, "full_name": "", "time_zone": "", "idempotency_key": key, **changes}


def test_a_form_that_is_posted_twice_leads_to_one_status_page(
    client: FlaskClient, app: Flask
) -> None:
    fields = fill_in(client.get("/").get_data(as_text=True))
    with ThreadPoolExecutor(2) as pool:
        both = list(
            pool.map(lambda _: app.test_client().post(URL, data=fields, headers=BROWSER), range(2))
        )
    assert [answer.status_code for answer in both] == [303, 303]
    assert both[0].headers["Location"] == both[1].headers["Location"]
    assert count(app, "customers") == 1


def test_going_back_and_changing_the_form_is_another_signup(client: FlaskClient) -> None:
    page = client.get("/").get_data(as_text=True)
    one = client.post(URL, data=fill_in(page), headers=BROWSER)
    two = client.post(URL, data=fill_in(page, email="two@example.com"), headers=BROWSER)
    assert (one.status_code, two.status_code) == (303, 303)
    assert one.headers["Location"] != two.headers["Location"]
    known = client.post(URL, data=fill_in(page, password="Another1234"), headers=BROWSER)
    assert known.status_code == 409


@pytest.mark.parametrize("error", [DatabaseUnavailable("lost"), RequestRunning()])
def test_a_form_that_is_shown_again_leads_to_the_signup_that_stands(
    client: FlaskClient, app: Flask, monkeypatch: pytest.MonkeyPatch, error: TenantryError
) -> None:
    """Its first answer was lost, or came too late."""

    def lose(*arguments: Any, **options: Any) -> None:
        signup(*arguments, **options)
        raise error

    monkeypatch.setattr(idempotency, "_LOOK_AGAIN", 0)
    with monkeypatch.context() as patch:
        patch.setattr("tenantry.web.api.signup.signup", lose)
        fields = fill_in(client.get("/").get_data(as_text=True))
        lost = client.post(URL, data=fields, headers=BROWSER)
    assert lost.status_code in (409, 503)
    page = lost.get_data(as_text=True)
    assert "please" in page
    assert "Idempotency-Key" not in page
    again = client.post(URL, data=fill_in(page), headers=BROWSER)
    assert again.status_code == 303
    assert count(app, "customers") == 1


@pytest.mark.parametrize("key", ["", "x" * 999, "ü", "two words"])
def test_a_pages_key_is_not_trusted(client: FlaskClient, key: str) -> None:
    fields = {**GOOD, "idempotency_key": key}
    answers = [client.post(URL, data=fields, headers=BROWSER) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 409]


def test_two_forms_have_two_keys(client: FlaskClient) -> None:
    pages = [fill_in(client.get("/").get_data(as_text=True)) for _ in range(2)]
    assert pages[0]["idempotency_key"] != pages[1]["idempotency_key"]


# Limits


def test_too_many_for_one_email_are_told_when_to_come_back(make_app: Any, clock: Clock) -> None:
    app = make_app(signup_limit_email="3/hour")
    client = app.test_client()
    assert [post(client).status_code for _ in range(4)] == [201, 409, 409, 429]
    refused = post(client)
    assert refused.headers["Retry-After"] == "1200"
    assert refused.get_json()["code"] == "rate_limited"
    assert refused.get_json()["message"] == "Too many signups; please try again in 20 minutes."
    assert post(client, email="other@example.com").status_code == 201
    clock.time += timedelta(seconds=1200)
    assert post(client).status_code == 409


def test_a_browser_is_told_in_its_form(make_app: Any) -> None:
    client = make_app(signup_limit_total="1/minute").test_client()
    assert client.post(URL, data=GOOD, headers=BROWSER).status_code == 303
    answer = client.post(URL, data={**GOOD, "email": "kept@example.com"}, headers=BROWSER)
    assert (answer.status_code, answer.mimetype) == (429, "text/html")
    assert answer.headers["Retry-After"] == "60"
    assert "Too many signups; please try again in 60 seconds." in answer.get_data(as_text=True)
    assert 'value="kept@example.com"' in answer.get_data(as_text=True)


def test_a_replay_does_not_count(make_app: Any) -> None:
    client = make_app(signup_limit_total="2/hour").test_client()
    assert [post(client, "k").status_code for _ in range(5)] == [201] * 5
    assert post(client, email="two@example.com").status_code == 201
    assert post(client, email="three@example.com").status_code == 429
    assert post(client, "k").status_code == 201


def test_a_bad_request_does_not_count(make_app: Any) -> None:
    client = make_app(signup_limit_total="1/hour").test_client()
    assert [post(client, password="x").status_code for _ in range(3)] == [400] * 3
    assert post(client).status_code == 201


def from_address(client: FlaskClient, name: str, peer: str, forwarded: str = "") -> int:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    body = {**GOOD, "email": f"{name}@example.com"}
    environ = {"REMOTE_ADDR": peer}
    return client.post(URL, json=body, headers=headers, environ_overrides=environ).status_code


def test_addresses_are_limited_apart(make_app: Any) -> None:
    client = make_app(signup_limit_address="1/hour").test_client()
    assert from_address(client, "a", "192.0.2.1") == 201
    assert from_address(client, "b", "192.0.2.1") == 429
    assert from_address(client, "c", "192.0.2.2") == 201
    assert from_address(client, "d", "2001:db8::1") == 201
    assert from_address(client, "e", "2001:db8::2") == 429
    assert from_address(client, "f", "192.0.2.1", forwarded="203.0.113.5") == 429


def test_a_proxy_that_is_not_known_of_is_warned_of_once(
    make_app: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    unaware, aware = make_app(), make_app(trusted_proxies=1)
    assert from_address(unaware.test_client(), "a", "10.0.0.1") == 201
    assert from_address(aware.test_client(), "b", "10.0.0.1", "203.0.113.5") == 201
    assert "proxies.not_trusted" not in capsys.readouterr().out
    for name in ("c", "d"):
        assert from_address(unaware.test_client(), name, "10.0.0.1", "203.0.113.5") == 201
    said = capsys.readouterr().out
    assert said.count("proxies.not_trusted") == 1
    assert "TENANTRY_TRUSTED_PROXIES" in said
    assert "203.0.113" not in said


def test_behind_a_proxy_the_clients_own_entry_does_not_count(make_app: Any) -> None:
    client = make_app(signup_limit_address="1/hour", trusted_proxies=1).test_client()
    proxy = "10.0.0.1"
    assert from_address(client, "a", proxy, "203.0.113.5") == 201
    assert from_address(client, "b", proxy, "6.6.6.6, 203.0.113.5") == 429
    assert from_address(client, "c", proxy, "203.0.113.6") == 201


def test_counts_name_nobody_and_go_when_they_say_nothing(make_app: Any, clock: Clock) -> None:
    app = make_app(signup_limit_address="9/minute", signup_limit_email="9/minute")
    assert from_address(app.test_client(), "a", "192.0.2.1") == 201
    with service_of(app).database.read() as session:
        stored = str(session.execute(text("select * from rate_limits")).all())
    assert "192.0.2.1" not in stored
    assert "example.com" not in stored
    clock.time += timedelta(minutes=2)
    assert housekeeping.forget_old(service_of(app), now=clock()) == 2
    assert count(app, "rate_limits") == 0


def test_without_limits_and_key_nothing_is_written_before_the_signup(
    client: FlaskClient, app: Flask
) -> None:
    assert post(client).status_code == 201
    assert post(client).status_code == 409
    assert count(app, "rate_limits") == count(app, "idempotency_keys") == 0


# The database is away


def test_a_database_that_is_away_is_told_without_detail(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise DatabaseUnavailable("disk I/O error", retry_after=1.0)

    for module in ("api.signup.signup", "api.deployment.read_status", "pages.status.read_status"):
        monkeypatch.setattr(f"tenantry.web.{module}", fail)
    followed = {"Authorization": "Bearer x"}
    for answer in (
        post(client),
        client.post(URL, data=GOOD, headers=BROWSER),
        client.get("/api/customers/x/deployment", headers=followed),
        client.get("/status/x"),
    ):
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        assert "disk" not in answer.get_data(as_text=True)
    assert capfd.readouterr().out.count("disk I/O error") == 4


@pytest.mark.parametrize(("asked", "until", "begins"), WAITS)
def test_a_signup_that_waits_says_for_what(
    make_app: Any, asked: dict[str, Any], until: str, begins: str
) -> None:
    client = make_app(**asked).test_client()
    page = client.get("/", headers=BROWSER).get_data(as_text=True)
    assert f"step by step, once {until}." in page
    assert f" to try it, from {begins}</li>" in page
    assert "2-3 minutes" not in page
    first, again = (client.post(URL, json=GOOD, headers=KEY) for _ in range(2))
    assert (first.status_code, again.data) == (201, first.data)
    body = first.get_json()
    told = f"Account created successfully! Your instance is set up once {until}."
    assert body["message"] == told
    assert body["deployment"]["status"] == "provisioning"
    assert body["deployment"]["estimated_time"] == f"2-3 minutes once {until}"
    steps = body["next_steps"]
    link = "Open the link in the mail that we sent to you, and confirm your address"
    assert (steps[0] == link) is ("confirm_email" in asked)
    assert len(steps) == len(asked) + 1
    assert not any("minutes" in each for each in steps)

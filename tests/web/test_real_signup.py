"""The web layer on the real flows, with a database: one signup, its followers, and strangers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text

from tenantry import settings, wiring
from tenantry.flows.service import Service
from tenantry.web.app import create_app

URL = "/api/customers/signup"
GOOD = {"email": "test@example.com", "password": "SecurePass123", "company_name": "Test Corp"}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = wiring.build(
        settings.load(data_dir=tmp_path, public_url="http://signup.localhost:3100")
    )
    yield service
    service.database.close()


@pytest.fixture
def app(service: Service) -> Flask:
    return create_app(service)


def test_a_customer_signs_up_and_follows_the_deployment(app: Flask) -> None:
    client = app.test_client()
    answer = client.post(URL, json={**GOOD, "time_zone": "Europe/Berlin"})
    assert answer.status_code == 201
    body = answer.get_json()
    assert body["subscription"]["plan"] == "starter"
    assert body["license"]["jwt"].count(".") == 2
    assert body["license"]["max_devices"] == 10
    assert body["next_steps"]
    token = body["deployment"]["status_url"].rpartition("/")[2]
    followed = client.get(
        f"/api/customers/{body['customer']['customer_id']}/deployment",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert followed.status_code == 200
    assert followed.get_json()["status"] == "pending"
    states = [step["state"] for step in followed.get_json()["steps"]]
    assert states == ["done", "done", "active", "waiting", "waiting", "waiting"]
    page = client.get(f"/status/{token}").get_data(as_text=True)
    assert "Test Corp" in page
    assert body["license"]["jwt"] not in page


def test_another_customers_link_opens_nothing(app: Flask) -> None:
    client = app.test_client()
    mine, theirs = (
        client.post(URL, json={**GOOD, "email": f"{name}@example.com"}).get_json()
        for name in ("mine", "theirs")
    )
    token = mine["deployment"]["status_url"].rpartition("/")[2]
    url = f"/api/customers/{theirs['customer']['customer_id']}/deployment"
    assert client.get(url, headers={"Authorization": f"Bearer {token}"}).status_code == 404
    assert client.get(url).status_code == 404
    assert client.get(f"/status/{theirs['customer']['customer_id']}").status_code == 404


@pytest.mark.parametrize("again", ["test@example.com", "TEST@example.COM"])
def test_a_known_email_is_refused(app: Flask, again: str) -> None:
    client = app.test_client()
    assert client.post(URL, json=GOOD).status_code == 201
    answer = client.post(URL, json={**GOOD, "email": again})
    assert answer.status_code == 409
    assert answer.get_json()["error"] == "Email already registered"


def test_of_racing_signups_one_wins(app: Flask, service: Service) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: app.test_client().post(URL, json=GOOD), range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    with service.database.read() as session:
        assert session.scalar(text("select count(*) from customers")) == 1


def test_no_secret_is_logged(app: Flask, capfd: pytest.CaptureFixture[str]) -> None:
    body = app.test_client().post(URL, json=GOOD).get_json()
    said = "".join(capfd.readouterr())
    assert body["customer"]["customer_id"] in said
    token = body["deployment"]["status_url"].rpartition("/")[2]
    for secret in ("SecurePass123", "test@example.com", body["license"]["jwt"], token):
        assert secret not in said


def test_ready_and_keys(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/readyz").get_json() == {
        "status": "ready",
        "findings": [],
        "flags": [],
    }
    (key,) = client.get("/.well-known/jwks.json").get_json()["keys"]
    assert key["kty"] == "OKP"
    assert "d" not in key

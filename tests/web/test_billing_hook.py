"""A payment provider's webhook: who knows the secret is believed; whatever they send is kept."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from tenantry import settings, wiring
from tenantry.adapters.database.tables import BillingEvent
from tenantry.core.billing import Scheme
from tenantry.core.errors import DatabaseUnavailable
from tenantry.core.subscription import EventKind
from tenantry.flows.service import PaymentProvider, Service
from tenantry.web.app import create_app

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SECRET = "whsec_öf_the_tests"
STRANGER = "cust-bcdfghjkmn"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("billing")
    service = wiring.build(settings.load(data_dir=folder / "data"), now=lambda: NOW)
    yield service
    service.database.close()


def listening(service: Service, scheme: Scheme) -> Service:
    return replace(service, billing=PaymentProvider(scheme, lambda: SECRET))


def sign(content: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()


def plainly(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"X-Signature-256": f"sha256={sign(body, secret)}"}


def by_stripe(body: bytes, at: datetime = NOW, secret: str = SECRET) -> dict[str, str]:
    time = str(int(at.timestamp()))
    return {"Stripe-Signature": f"t={time},v1={sign(time.encode() + b'.' + body, secret)}"}


def send(service: Service, body: bytes, headers: dict[str, str]) -> TestResponse:
    return create_app(service).test_client().post("/hooks/billing", data=body, headers=headers)


def message(number: int, **changes: Any) -> bytes:
    said = {"id": f"m-{number}", "type": "paid", "created": int(NOW.timestamp())}
    return json.dumps(said | {"customer_id": STRANGER, "plan": "professional"} | changes).encode()


def kept(service: Service, external_id: str) -> BillingEvent | None:
    with service.database.read() as session:
        found = select(BillingEvent).where(BillingEvent.external_id == external_id)
        return session.scalar(found)


def test_a_signed_message_of_a_stranger_is_kept_wrapped(built: Service) -> None:
    service = listening(built, Scheme.HMAC)
    body = message(1)
    for _ in range(2):  # sent again, it stays one
        assert send(service, body, plainly(body)).status_code == 204
    row = kept(service, "m-1/paid")
    assert row is not None
    assert (row.customer_id, row.plan, row.at) == (None, "professional", NOW)
    assert row.wrapped is not None
    assert service.vault.unwrap(row.wrapped) == body.decode()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Signature-256": "sha256="},
        {"X-Signature-256": sign(message(2))},
        {"X-Signature-256": "sha256=\u00f6"},
        plainly(message(2), "another"),
        plainly(message(3)),
        by_stripe(message(2)),
    ],
)
def test_without_proof_nothing_is_kept(built: Service, headers: dict[str, str]) -> None:
    answer = send(listening(built, Scheme.HMAC), message(2), headers)
    assert (answer.status_code, answer.get_json()["code"]) == (401, "unauthorized")
    assert kept(built, "m-2/paid") is None


def test_stripes_signature_holds_for_five_minutes_both_ways(built: Service) -> None:
    service = listening(built, Scheme.STRIPE)
    body = b'{"id": "evt_1", "type": "charge.succeeded"}'
    for minutes in (-5.0, 0.0, 5.0):
        headers = by_stripe(body, NOW + timedelta(minutes=minutes))
        assert send(service, body, headers).status_code == 204
    for minutes in (-5.02, 5.02):
        headers = by_stripe(body, NOW + timedelta(minutes=minutes))
        assert send(service, body, headers).status_code == 401
    rolled = by_stripe(body)["Stripe-Signature"].replace(",v1=", f",v1={'0' * 64},v0=x,v1=")
    assert send(service, body, {"Stripe-Signature": rolled}).status_code == 204
    two_times = by_stripe(body)["Stripe-Signature"].replace("t=", "t=1,t=")
    for odd in ("", "t=", two_times, two_times.replace("t=1,", "t=٥,")):
        assert send(service, body, {"Stripe-Signature": odd}).status_code == 401
    row = kept(service, "evt_1/other")
    assert row is not None
    assert (row.kind, row.type) == (EventKind.OTHER, "charge.succeeded")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"id": ' + b"9" * 5000 + b"}"]
)
def test_what_is_no_json_is_refused(built: Service, body: bytes) -> None:
    answer = send(listening(built, Scheme.HMAC), body, plainly(body))
    assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_json")


@pytest.mark.parametrize(
    "said",
    [
        [],
        7,
        {"id": 7, "type": ["paid"]},
        {"type": "paid\u0000"},
        {"id": "\ud800", "type": "x" * 5000, "customer_id": {"a": 1}},
        {"id": "o-1", "type": "paid", "created": 10**300, "customer_id": STRANGER},
        {"id": "o-2", "type": "paid", "created": NOW.isoformat(), "customer_id": "x" * 201},
    ],
    ids=range(7),
)
def test_what_is_signed_but_strange_is_kept(built: Service, said: object) -> None:
    body = json.dumps(said).encode()
    assert send(listening(built, Scheme.HMAC), body, plainly(body)).status_code == 204
    own_id = said.get("id") if isinstance(said, dict) else None
    known = own_id if own_id in ("o-1", "o-2") else hashlib.sha256(body).hexdigest()
    row = kept(built, f"{known}/other")
    assert row is not None
    assert row.wrapped is not None
    assert built.vault.unwrap(row.wrapped) == body.decode()


def test_what_is_understood_when_it_is_sent_again_is_no_riddle_any_more(built: Service) -> None:
    service = listening(built, Scheme.HMAC)
    strange, known = message(9, plan="new"), message(9)
    assert send(service, strange, plainly(strange)).status_code == 204
    riddle = kept(service, "m-9/other")
    assert riddle is not None
    assert riddle.wrapped is not None
    other = message(10, customer_id="cust-0000000001", plan="new")
    send(service, other, plainly(other))
    assert send(service, known, plainly(known)).status_code == 204
    solved, still = kept(service, "m-9/other"), kept(service, "m-10/other")
    assert solved is not None
    assert still is not None
    assert (solved.wrapped is None, still.wrapped is None) == (True, False)


def test_too_much_is_refused_before_it_is_verified(built: Service) -> None:
    body = b" " * (1024 * 1024 + 1)
    assert send(listening(built, Scheme.HMAC), body, plainly(body)).status_code == 413


def test_without_a_secret_there_is_nothing(built: Service) -> None:
    assert send(built, message(4), plainly(message(4))).status_code == 404


def test_the_provider_is_asked_to_send_again_while_the_database_is_away(
    built: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise DatabaseUnavailable(retry_after=1.0)

    service = listening(built, Scheme.HMAC)
    body = message(5)
    with monkeypatch.context() as patch:
        patch.setattr(service.database, "write", fail)
        answer = send(service, body, plainly(body))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert send(service, body, plainly(body)).status_code == 204
    assert kept(service, "m-5/paid") is not None


def test_a_secret_that_cannot_be_read_asks_the_provider_to_send_again(built: Service) -> None:
    without = PaymentProvider(Scheme.HMAC, partial(settings.read_secret, Path("/nope")))
    with capture_logs() as entries:
        answer = send(replace(built, billing=without), message(7), plainly(message(7)))
    assert (answer.status_code, answer.get_json()["code"]) == (503, "unavailable")
    assert [each["detail"] for each in entries if each["event"] == "billing.no_secret"] == [
        "/nope: No such file or directory"
    ]


@pytest.mark.parametrize("event", ["billing.refused", "billing.no_secret"])
def test_what_anybody_can_bring_about_is_logged_once_a_minute(built: Service, event: str) -> None:
    without = PaymentProvider(Scheme.HMAC, partial(settings.read_secret, Path("/nope")))

    def refuse(minutes: float) -> int:
        later = NOW + timedelta(days=1, minutes=minutes)  # whatever the tests before sent
        service = replace(listening(built, Scheme.HMAC), now=lambda: later)
        if event == "billing.no_secret":
            service = replace(service, billing=without)
        with capture_logs() as entries:
            send(service, message(8), plainly(message(8), "wrong"))
        return [each["event"] for each in entries].count(event)

    assert [refuse(0), refuse(0.9), refuse(1), refuse(1.5)] == [1, 0, 1, 0]


def test_settings_name_the_secret(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    configured = settings.load(
        data_dir=tmp_path / "data", billing_secret_file=tmp_path / "secret", billing_scheme="hmac"
    )
    service = wiring.build(configured, now=lambda: NOW)
    body = message(6)
    assert send(service, body, plainly(body)).status_code == 204
    service.database.close()

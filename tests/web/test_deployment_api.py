"""Following a deployment: for its customer everything, for a stranger nothing (R7, R41, R45)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tenantry.core.model import Status
from tests.web.stage import Stage


def ask(client: FlaskClient, customer_id: str, token: str | None, **headers: str) -> TestResponse:
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return client.get(f"/api/customers/{customer_id}/deployment", headers=headers)


def test_the_customer_sees_the_deployment(client: FlaskClient, stage: Stage) -> None:
    token = stage.add_customer("Test Corp")
    view = stage.advance(token, 3, status=Status.PROVISIONING, reason="Being installed.")
    answer = ask(client, view.customer_id, token)
    body = answer.get_json()
    assert answer.status_code == 200
    assert (body["status"], body["reason"]) == ("provisioning", "Being installed.")
    assert [s["state"] for s in body["steps"]] == ["done"] * 3 + ["active"] + ["waiting"] * 2
    assert [s["code"] for s in body["steps"]] == [
        "account", "license", "committed", "syncing", "healthy", "answering",
    ]  # fmt: skip
    assert body["steps"][3]["at"] is None
    assert answer.headers["Cache-Control"] == "no-store"


def test_unchanged_is_304_and_news_is_not(client: FlaskClient, stage: Stage) -> None:
    token = stage.add_customer()
    customer_id = stage.views[token].customer_id
    first = ask(client, customer_id, token)
    etag = first.headers["ETag"]
    assert first.headers["Retry-After"] == "1"
    same = ask(client, customer_id, token, **{"If-None-Match": etag})
    assert (same.status_code, same.data) == (304, b"")
    assert same.headers["Retry-After"] == "1"
    stage.make_ready(token)
    news = ask(client, customer_id, token, **{"If-None-Match": etag})
    assert (news.status_code, news.headers["Retry-After"]) == (200, "30")
    assert news.headers["ETag"] != etag


def test_what_is_beside_the_status_is_told_and_changes_the_etag_once(
    client: FlaskClient, stage: Stage
) -> None:
    token = stage.add_customer()
    view = stage.make_ready(token)
    etag = ask(client, view.customer_id, token).headers["ETag"]
    stage.views[token] = replace(view, unknown_since=stage.now, late=True, flaps=2)
    answer = ask(client, view.customer_id, token, **{"If-None-Match": etag})
    body = answer.get_json()
    assert (body["status"], body["late"], body["flaps"]) == ("ready", True, 2)
    assert datetime.fromisoformat(body["unknown_since"]) == stage.now
    stage.now += timedelta(seconds=9)
    etag = answer.headers["ETag"]
    again = ask(client, view.customer_id, token, **{"If-None-Match": etag})
    assert again.status_code == 304


def test_a_stranger_gets_the_same_nothing(client: FlaskClient, stage: Stage) -> None:
    mine, theirs = stage.add_customer("Mine"), stage.add_customer("Theirs")
    their_id = stage.views[theirs].customer_id
    answers = [
        ask(client, their_id, mine),
        ask(client, their_id, None),
        ask(client, their_id, ""),
        ask(client, their_id, "wrong"),
        ask(client, their_id, their_id),
        ask(client, "cust-bcdfghjkmn", mine),
        ask(client, "cust-bcdfghjkmn", None),
        ask(client, "nonsense", theirs),
        client.get(f"/api/customers/{their_id}/deployment", auth=("x", theirs)),
        client.get(f"/api/customers/{their_id}/deployment?token={theirs}"),
    ]
    shapes = set()
    for answer in answers:
        body = answer.get_json()
        assert body.pop("request_id")
        assert body.pop("instance")
        shapes.add((answer.status_code, answer.mimetype, str(sorted(body.items()))))
        assert "WWW-Authenticate" not in answer.headers
        assert "Theirs" not in answer.get_data(as_text=True)
    assert len(shapes) == 1
    assert answers[0].status_code == 404


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_case_insensitive(client: FlaskClient, stage: Stage, scheme: str) -> None:
    token = stage.add_customer()
    url = f"/api/customers/{stage.views[token].customer_id}/deployment"
    assert client.get(url, headers={"Authorization": f"{scheme} {token}"}).status_code == 200


def test_a_page_is_not_to_be_had_here(client: FlaskClient, stage: Stage) -> None:
    token = stage.add_customer()
    answer = ask(client, stage.views[token].customer_id, token, Accept="text/html")
    assert (answer.status_code, answer.mimetype) == (406, "text/html")

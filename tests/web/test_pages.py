"""What the pages say, without a browser."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from tenantry.core.model import Status
from tenantry.flows.status import Change
from tenantry.web.pages.formats import code_spans, duration
from tests.web.stage import Stage

BROWSER = {"Accept": "text/html,*/*;q=0.8"}


def read(client: FlaskClient, path: str) -> str:
    answer = client.get(path, headers=BROWSER)
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


def test_the_signup_form_helps_browsers_and_people(client: FlaskClient) -> None:
    page = read(client, "/")
    for name, kind, completes in (
        ("email", "email", "email"),
        ("company_name", "text", "organization"),
        ("full_name", "text", "name"),
        ("password", "password", "new-password"),
    ):
        assert f'<label for="{name}">' in page
        assert f'name="{name}" type="{kind}" autocomplete="{completes}"' in page
    assert "Acme Monitor" in page
    assert "14 days of Starter" in page


def test_the_status_page_shows_the_way(client: FlaskClient, stage: Stage) -> None:
    token = stage.add_customer("Test Corp")
    view = stage.advance(token, 4, status=Status.PROVISIONING)
    page = read(client, f"/status/{token}")
    assert "<bdi>Test Corp</bdi>" in page
    assert page.count('<li class="done"') == 4
    assert page.count('aria-current="step"') == 1
    assert 'class="active" data-step="healthy"' in page
    assert "14 days left" in page
    assert f'href="{view.instance_url}"' in page.partition("actions")[2].partition("</p>")[0]
    assert '<p class="actions" hidden>' in page
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in page


def test_a_ready_instance_can_be_opened(client: FlaskClient, stage: Stage) -> None:
    token = stage.add_customer()
    view = stage.make_ready(token)
    page = read(client, f"/status/{token}")
    assert "<title>Ready – Test Corp</title>" in page
    assert '<p class="actions">' in page
    assert f'<a class="button" href="{view.instance_url}"' in page
    assert "2.0 s in all" in page
    assert "0123456789</code>" in page
    assert "http-equiv" not in page


def test_a_failure_says_its_reason(client: FlaskClient, stage: Stage) -> None:
    token = stage.add_customer()
    stage.fail(token, "The <database> did not start.")
    page = read(client, f"/status/{token}")
    assert "The &lt;database&gt; did not start." in page
    assert 'class="failed" data-step="healthy"' in page
    assert '<p class="actions" hidden>' in page


@pytest.mark.parametrize("status", list(Status))
def test_every_status_has_a_page(client: FlaskClient, stage: Stage, status: Status) -> None:
    token = stage.add_customer()
    stage.advance(token, 6, status=status, reason="So it is.", settled=True)
    page = read(client, f"/status/{token}")
    assert "So it is." in page
    comes = {Status.PENDING, Status.AWAITING_REVIEW, Status.PROVISIONING, Status.FAILED}
    assert ("answers once it is ready" in page) == (status in comes)


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (timedelta(days=14, hours=23), "14 days left"),
        (timedelta(days=1, hours=1), "1 day left"),
        (timedelta(hours=23), "last day"),
        (timedelta(0), "ended"),
        (timedelta(days=-3), "ended"),
    ],
)
def test_trial_days_are_counted(
    client: FlaskClient, stage: Stage, left: timedelta, text: str
) -> None:
    token = stage.add_customer()
    stage.advance(token, 6, trial_ends_at=stage.now + left)
    trial = read(client, f"/status/{token}").partition("<dt>Trial</dt>")[2]
    assert trial.partition("<br>")[0].endswith(f"<dd>{text}")


@pytest.mark.parametrize(
    ("kind", "at", "sentence"),
    [
        ("update", "syncing", "An update is being applied."),
        ("license", "publishing", "A new license is on its way."),
        ("plan", "in_review", "A change of plan waits for a review."),
    ],
)
def test_a_change_on_its_way_is_shown(
    client: FlaskClient, stage: Stage, kind: str, at: Any, sentence: str
) -> None:
    token = stage.add_customer()
    stage.make_ready(token)
    assert sentence not in read(client, f"/status/{token}")
    change = Change(kind=kind, stage=at, since=stage.now)
    stage.advance(token, 6, change=change)
    assert sentence in read(client, f"/status/{token}")


def test_a_wrong_link_shows_nothing(client: FlaskClient, stage: Stage) -> None:
    token = stage.add_customer()
    for wrong in ("x", stage.views[token].customer_id, token + "x", token[:-1]):
        answer = client.get(f"/status/{wrong}", headers=BROWSER)
        assert (answer.status_code, answer.mimetype) == (404, "text/html")
        assert "Test Corp" not in answer.get_data(as_text=True)


def test_an_unknown_path_is_a_page_for_people_and_a_problem_for_programs(
    client: FlaskClient,
) -> None:
    page = client.get("/nowhere/<x>", headers=BROWSER)
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert page.headers["X-Request-Id"] in page.get_data(as_text=True)
    problem = client.get("/nowhere")
    assert (problem.status_code, problem.mimetype) == (404, "application/problem+json")
    assert problem.get_json()["code"] == "not_found"


@pytest.mark.parametrize("path", ["/", "/nowhere", "/healthz", "/api/docs", "/static/app.css"])
def test_every_answer_is_guarded(client: FlaskClient, path: str) -> None:
    headers = client.get(path, buffered=True).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Strict-Transport-Security"].startswith("max-age=")


def test_personal_pages_are_not_stored(client: FlaskClient, stage: Stage) -> None:
    headers = client.get(f"/status/{stage.add_customer()}").headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Robots-Tag"] == "noindex, nofollow"


def test_static_files_are_kept_as_long_as_their_content(client: FlaskClient) -> None:
    url = read(client, "/").partition('rel="stylesheet" href="')[2].partition('"')[0]
    assert "?v=" in url
    for path, kept in (
        (url, "public, max-age=31536000, immutable"),
        ("/static/app.css", "public, max-age=300"),
        ("/static/nothing.css", "no-store"),
    ):
        assert client.get(path, buffered=True).headers["Cache-Control"] == kept


def test_no_page_needs_what_the_policy_forbids(client: FlaskClient, stage: Stage) -> None:
    for path in ("/", f"/status/{stage.add_customer()}", "/api/docs", "/nowhere"):
        page = client.get(path, headers=BROWSER).get_data(as_text=True)
        assert "<style" not in page
        assert "style=" not in page
        assert "<script>" not in page
        assert " onclick" not in page


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"), (0.04, "0.0 s"), (3.14, "3.1 s"), (9.94, "9.9 s"), (9.96, "10 s"),
        (59.4, "59 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (3600, "1 h 0 min"),
        (3 * 3600 + 420, "3 h 7 min"),
    ],
)  # fmt: skip
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(timedelta(seconds=seconds)) == text


def test_only_code_spans_become_markup() -> None:
    assert code_spans("a `<b>` & <i>") == "a <code>&lt;b&gt;</code> &amp; &lt;i&gt;"


def test_what_is_beside_the_status_is_shown(client: FlaskClient, stage: Stage) -> None:
    token = stage.add_customer()
    view = stage.make_ready(token)
    assert 'class="note"' not in read(client, f"/status/{token}")
    stage.views[token] = replace(view, unknown_since=stage.now, late=True, flaps=2)
    page = read(client, f"/status/{token}")
    assert "We cannot see your instance at the moment; this is what we saw last." in page
    assert "This takes longer than usual." in page
    assert "<dt>Disturbances</dt>" in page

"""The signup over HTTP: R1-R4, and every bad input gets one shape, the right status, no 500."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.web.stage import Stage

URL = "/api/customers/signup"
GOOD = {"email": "test@example.com", "password": "SecurePass123", "company_name": "Test Corp"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def assert_problem(answer: TestResponse, status: int, code: str) -> dict[str, object]:
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    problem: dict[str, object] = answer.get_json()
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    assert problem["instance"] == f"urn:uuid:{problem['request_id']}"
    assert all(problem[name] for name in ("type", "title", "detail", "error", "message"))
    assert answer.headers["Cache-Control"] == "no-store"
    return problem


def test_a_signup_is_answered_with_all_members(client: FlaskClient, stage: Stage) -> None:
    answer = client.post(URL, json=GOOD)
    assert answer.status_code == 201
    assert answer.mimetype == "application/json"
    body = answer.get_json()
    assert {name: set(part) if isinstance(part, dict) else None for name, part in body.items()} == {
        "message": None,
        "customer": {"customer_id", "email", "company_name"},
        "subscription": {"plan", "status", "trial_ends_at"},
        "deployment": {"status", "estimated_time", "instance_url", "status_url"},
        "license": {"jwt", "expires_at", "max_devices"},
        "next_steps": None,
    }
    assert body["message"] == "Account created successfully! Your instance is being deployed."
    assert body["customer"]["email"] == "test@example.com"
    assert body["deployment"]["status"] == "provisioning"
    assert body["deployment"]["estimated_time"] == "2-3 minutes"
    assert datetime.fromisoformat(body["license"]["expires_at"]).tzinfo is not None
    (token,) = stage.views
    assert body["deployment"]["status_url"] == f"https://signup.example.com/status/{token}"
    assert answer.headers["Location"] == body["deployment"]["status_url"]
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("content", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_is_as_good_as_json(client: FlaskClient, stage: Stage, content: str) -> None:
    fields = {**GOOD, "company_name": "Ünï & Söhne 🚀", "time_zone": "Europe/Berlin"}
    answer = client.post(URL, data=fields, content_type=content)
    assert answer.status_code == 201
    assert answer.get_json()["customer"]["company_name"] == "Ünï & Söhne 🚀"
    assert stage.requests[0].time_zone == "Europe/Berlin"


def test_a_browser_is_led_to_the_status_page(client: FlaskClient, stage: Stage) -> None:
    answer = client.post(URL, data=GOOD, headers=BROWSER)
    (token,) = stage.views
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/status/{token}")
    assert client.get(answer.headers["Location"]).status_code == 200


@pytest.mark.parametrize("email", ["test@example.com", "TEST@Example.COM", " test@example.com "])
def test_a_known_email_is_refused(client: FlaskClient, email: str) -> None:
    client.post(URL, json=GOOD)
    problem = assert_problem(client.post(URL, json={**GOOD, "email": email}), 409, "email_taken")
    assert problem["error"] == "Email already registered"
    assert problem["message"] == "An account with this email already exists"


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        ({"email": ""}, "Email, password, and company name are required", "email"),
        ({"password": None}, "Email, password, and company name are required", "password"),
        ({"company_name": 7}, "Email, password, and company name are required", "company_name"),
        ({"company_name": ["x"]}, "Email, password, and company name are required", "company_name"),
        ({"email": "nope"}, "Invalid email format", "email"),
        ({"password": "short"}, "Password must be at least 8 characters", "password"),
        ({"company_name": "a\nb"}, "Company name must be one line without control characters",
         "company_name"),
        ({"company_name": "a\ud83d"}, "Company name must be one line without control characters",
         "company_name"),
        ({"time_zone": "Mars/Base"}, "Unknown time zone; give an IANA name such as Europe/Berlin",
         "time_zone"),
    ],
)  # fmt: skip
def test_a_bad_field_is_named(
    client: FlaskClient, stage: Stage, change: dict[str, object], error: str, field: str
) -> None:
    answer = client.post(URL, json={**GOOD, **change})
    assert answer.status_code == 400
    problem = assert_problem(answer, 400, str(answer.get_json()["code"]))
    assert (problem["error"], problem["field"]) == (error, field)
    assert not stage.views


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_missing_field_is_told(client: FlaskClient, name: str) -> None:
    fields = {key: value for key, value in GOOD.items() if key != name}
    for answer in (client.post(URL, json=fields), client.post(URL, data=fields)):
        problem = assert_problem(answer, 400, "missing_field")
        assert problem["error"] == "Email, password, and company name are required"


@pytest.mark.parametrize(
    "body",
    [b"{", b"nope", b"\xff\xfe", b'{"email": "\xff"}', b"[" * 9000, b'{"a":' * 3000, b"1" * 9000,
     b'\xef\xbb\xbf{"email":"a@b.example"}', b"[]", b"null", b'"text"', b"7", b"{} {}",
     json.dumps(GOOD).encode("utf-16")],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(client: FlaskClient, body: bytes) -> None:
    answer = client.post(URL, data=body, content_type="application/json")
    assert_problem(answer, 400, "invalid_json")


@pytest.mark.parametrize("content", [None, "application/json", "application/x-www-form-urlencoded"])
def test_an_empty_body_has_no_fields(client: FlaskClient, content: str | None) -> None:
    assert_problem(client.post(URL, data=b"", content_type=content), 400, "missing_field")


@pytest.mark.parametrize(
    ("content", "body"),
    [
        ("application/json", b'{"email":"a@b.example","email":"c@d.example"}'),
        ("application/json", b'{"x":{"y":1,"y":2}}'),
        ("application/x-www-form-urlencoded", b"email=a%40b.example&email=c%40d.example"),
        ("multipart/form-data; boundary=x",
         b'--x\r\nContent-Disposition: form-data; name="email"\r\n\r\na@b.example\r\n' * 2
         + b"--x--\r\n"),
    ],
)  # fmt: skip
def test_a_field_given_twice_is_refused(client: FlaskClient, content: str, body: bytes) -> None:
    assert_problem(client.post(URL, data=body, content_type=content), 400, "duplicate_field")


@pytest.mark.parametrize(
    ("content", "body"),
    [
        ("application/x-www-form-urlencoded", b"company_name=%FF"),
        ("application/x-www-form-urlencoded", b"company_name=%ED%A0%BD"),
        ("application/x-www-form-urlencoded", b"company_name=\xff"),
        ("application/x-www-form-urlencoded", b"&".join(b"f%d=x" % i for i in range(60))),
        ("multipart/form-data; boundary=x",
         b'--x\r\nContent-Disposition: form-data; name="password"\r\n\r\nA\xff\r\n--x--\r\n'),
    ],
)  # fmt: skip
def test_a_broken_form_is_refused(client: FlaskClient, content: str, body: bytes) -> None:
    assert_problem(client.post(URL, data=body, content_type=content), 400, "invalid_form")


@pytest.mark.parametrize("content", ["multipart/form-data", "multipart/form-data; boundary=y"])
def test_a_multipart_body_without_parts_has_no_fields(client: FlaskClient, content: str) -> None:
    assert_problem(
        client.post(URL, data=b"--x\r\n\r\n", content_type=content), 400, "missing_field"
    )


@pytest.mark.parametrize(
    "content", ["text/plain", "application/xml", "application/jsonx", "text/html", "nonsense"]
)
def test_another_content_type_is_refused(client: FlaskClient, content: str) -> None:
    answer = client.post(URL, data=json.dumps(GOOD), content_type=content)
    assert_problem(answer, 415, "unsupported_media_type")


CHUNKED = {False: {}, True: {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""}}


@pytest.mark.parametrize("content", ["application/json", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("chunked", [False, True])
def test_more_than_16_kib_is_refused(client: FlaskClient, content: str, chunked: bool) -> None:
    body = json.dumps({**GOOD, "company_name": "x" * (16 * 1024)}).encode()
    answer = client.post(URL, data=body, content_type=content, environ_overrides=CHUNKED[chunked])
    problem = assert_problem(answer, 413, "too_large")
    assert problem["message"] == "At most 16 KiB are read, and of a webhook 1024 KiB."


@pytest.mark.parametrize("chunked", [False, True])
def test_exactly_16_kib_are_read(client: FlaskClient, chunked: bool) -> None:
    padding = 16 * 1024 - len(json.dumps({**GOOD, "x": ""}))
    body = json.dumps({**GOOD, "x": "y" * padding})
    assert len(body) == 16 * 1024
    for more, status in ((" ", 413), ("", 201)):
        answer = client.post(
            URL,
            data=body + more,
            content_type="application/json",
            environ_overrides=CHUNKED[chunked],
        )
        assert answer.status_code == status


def test_a_form_with_parts_has_the_same_limit(client: FlaskClient) -> None:
    start = b'--x\r\nContent-Disposition: form-data; name="email"\r\n\r\n'
    for size, status in ((16 * 1024 + 1, 413), (16 * 1024, 400)):
        body = start + b"a" * (size - len(start) - 9) + b"\r\n--x--\r\n"
        assert len(body) == size
        answer = client.post(URL, data=body, content_type="multipart/form-data; boundary=x")
        assert answer.status_code == status


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_another_method_is_refused(client: FlaskClient, method: str) -> None:
    answer = client.open(URL, method=method)
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "OPTIONS, POST"


def test_a_browser_that_opens_the_address_is_led_to_the_form(client: FlaskClient) -> None:
    answer = client.get(URL, headers=BROWSER)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


@pytest.mark.parametrize("accept", ["image/png", "text/csv, text/plain", "application/json;q=0"])
def test_a_client_that_takes_no_json_is_told_before_anything_happens(
    client: FlaskClient, stage: Stage, accept: str
) -> None:
    answer = client.post(URL, json=GOOD, headers={"Accept": accept})
    assert_problem(answer, 406, "not_acceptable")
    assert not stage.views


@pytest.mark.parametrize("accept", ["*/*", "application/*", "application/problem+json", ""])
def test_a_client_that_takes_json_gets_it(client: FlaskClient, accept: str) -> None:
    assert client.post(URL, json=GOOD, headers={"Accept": accept}).status_code == 201


@pytest.mark.parametrize(
    "name",
    ["{{7*7}}", "$(id)", "1e3", ": -", "../", "شركة", "🚀", "-rf", "<b>&amp;</b>", "null"],
)
def test_a_hostile_name_comes_back_as_typed(client: FlaskClient, name: str) -> None:
    answer = client.post(URL, json={**GOOD, "company_name": name})
    assert answer.get_json()["customer"]["company_name"] == name
    page = client.get(answer.headers["Location"]).get_data(as_text=True)
    assert "<b>" not in page
    assert "49" not in page.partition("<h1>")[2].partition("</h1>")[0]


def test_an_unexpected_failure_says_nothing(
    client: FlaskClient, stage: Stage, caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    stage.signup_fails = RuntimeError("INSERT … parameters: ('test@example.com', 'SecurePass123')")
    answer = client.post(URL, json=GOOD)
    problem = assert_problem(answer, 500, "internal")
    assert problem["error"] == "Internal server error"
    logged = capsys.readouterr().out + caplog.text
    assert str(problem["request_id"]) in logged
    assert "RuntimeError" in logged
    assert "stage.py" in logged
    for said in (answer.get_data(as_text=True), logged):
        assert "SecurePass123" not in said
        assert "test@example.com" not in said


# In a browser


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"email": "nope"}, 400, "Invalid email format"),
        ({"company_name": ""}, 400, "Email, password, and company name are required"),
        ({"password": "password123"}, 400, "Password is too common"),
        ({"email": "taken@example.com"}, 409, "An account with this email already exists"),
    ],
)
def test_a_browser_sees_the_form_again(
    client: FlaskClient, change: dict[str, str], status: int, text: str
) -> None:
    client.post(URL, json={**GOOD, "email": "taken@example.com"})
    fields = {**GOOD, "password": "SecurePass123!", "full_name": '"><script>', **change}
    answer = client.post(URL, data=fields, headers=BROWSER)
    page = answer.get_data(as_text=True)
    assert (answer.status_code, answer.mimetype) == (status, "text/html")
    assert text in page
    assert 'aria-invalid="true"' in page
    assert "&#34;&gt;&lt;script&gt;" in page  # kept, and harmless
    assert fields["password"] not in page
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_browsers_unknown_time_zone_can_be_corrected(client: FlaskClient) -> None:
    fields = {**GOOD, "time_zone": "Mars/Base"}
    page = client.post(URL, data=fields, headers=BROWSER).get_data(as_text=True)
    assert '<option value="" selected>Please choose</option>' in page
    assert "<option>Europe/Berlin</option>" in page
    assert "Unknown time zone" in page


def test_a_browsers_broken_text_is_shown_without_breaking_the_page(client: FlaskClient) -> None:
    answer = client.post(URL, json={**GOOD, "company_name": "a\ud83d"}, headers=BROWSER)
    assert answer.status_code == 400
    assert 'value="a?"' in answer.get_data(as_text=True)


def test_a_browsers_other_faults_are_pages(client: FlaskClient) -> None:
    answer = client.post(URL, data="x", content_type="text/plain", headers=BROWSER)
    assert (answer.status_code, answer.mimetype) == (415, "text/html")
    assert "Unsupported media type" in answer.get_data(as_text=True)

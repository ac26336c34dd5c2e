"""Login, logout, reset and confirmation by their pages, and what a page refuses."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from tenantry.adapters.database.tables import Customer, Outbox
from tenantry.core.limits import Limits, parse_limit
from tenantry.core.model import TokenPurpose
from tenantry.flows.accounts.links import send_link
from tenantry.flows.rows import locked_customer
from tenantry.flows.signups.signup import SignedUp
from tenantry.web.agents import in_words
from tenantry.web.app import create_app
from tenantry.web.login import own_path
from tests.system.world import PASSWORD, World

BROWSER = {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Site": "same-origin"}
ANOTHER = "AnotherPass456"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def customer(world: World) -> SignedUp:
    return world.sign_up()


@pytest.fixture
def client(world: World) -> FlaskClient:
    return create_app(world.service).test_client()


def enter(
    client: FlaskClient, customer: SignedUp, password: str = PASSWORD, **how: str
) -> TestResponse:
    """The login form, sent."""
    form = {"email": customer.email, "password": password, **how}
    return client.post("/login", data=form, headers={**BROWSER, "User-Agent": FIREFOX})


def mailed(world: World, customer: SignedUp, kind: str) -> str:
    """The token in the mail that the customer was sent last."""
    mine = select(Outbox.wrapped).where(
        Outbox.customer_id == customer.customer_id, Outbox.kind == kind
    )
    with world.service.database.read() as session:
        wrapped = session.scalars(mine.order_by(Outbox.id.desc())).first()
    assert wrapped
    return world.service.vault.unwrap(wrapped)


def send_confirmation(world: World, customer: SignedUp) -> None:
    with world.service.database.write() as session:
        locked_customer(session, customer.customer_id)
        now = world.clock()
        send_link(world.service, session, customer.customer_id, TokenPurpose.CONFIRM, now=now)


def is_in(client: FlaskClient) -> bool:
    return client.get("/account", headers=BROWSER).status_code == 200


def form_of(client: FlaskClient) -> str:
    page = client.get("/account", headers=BROWSER).get_data(as_text=True)
    found = re.search(r'name="form" value="([0-9a-f]+)"', page)
    assert found
    return found[1]


def test_login_leads_back_and_logout_ends_it(client: FlaskClient, customer: SignedUp) -> None:
    asked = client.get("/account/license", headers=BROWSER)
    assert (asked.status_code, asked.location) == (303, "/login?next=/account/license")
    page = client.get(asked.location, headers=BROWSER).get_data(as_text=True)
    assert 'name="next" value="/account/license"' in page
    answer = enter(client, customer, next="/account/license")
    assert (answer.status_code, answer.location) == (303, "/account/license")
    assert is_in(client)
    assert "Firefox on Linux" in client.get("/account", headers=BROWSER).get_data(as_text=True)
    assert client.get("/login", headers=BROWSER).location == "/account"
    cookie = client.get_cookie("tenantry")
    assert cookie
    left = client.post("/logout", data={"form": form_of(client)}, headers=BROWSER)
    assert (left.status_code, left.location) == (303, "/login")
    assert client.get_cookie("tenantry") is None
    client.set_cookie("tenantry", cookie.value)
    assert not is_in(client), "the session is dead, not only forgotten"


def test_program_without_a_session_is_not_sent_to_a_form(client: FlaskClient) -> None:
    assert client.get("/account", headers={"Accept": "application/json"}).status_code == 401


@pytest.mark.parametrize(
    ("public_url", "name"),
    [("https://signup.example.com", "__Host-tenantry"), ("http://localhost:3100", "tenantry")],
)
def test_cookie_is_kept_from_others(
    world: World, customer: SignedUp, public_url: str, name: str
) -> None:
    service = replace(world.service, public_url=public_url)
    set_cookie = enter(create_app(service).test_client(), customer).headers["Set-Cookie"]
    parts = set_cookie.split("; ")
    assert parts[0].startswith(f"{name}=")
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} < set(parts)
    assert ("Secure" in parts) is public_url.startswith("https:")
    assert "Domain" not in set_cookie


def test_wrong_login_says_nothing_of_who_is_known(client: FlaskClient, customer: SignedUp) -> None:
    wrong = enter(client, customer, "WrongPass123")
    unknown = enter(client, customer, email="nobody@example.com")
    assert wrong.status_code == unknown.status_code == 400
    pages = [each.get_data(as_text=True) for each in (wrong, unknown)]
    assert "The email or the password is wrong" in pages[0]
    assert pages[0].replace(customer.email, "nobody@example.com") == pages[1]
    assert "WrongPass123" not in pages[0]
    assert "Set-Cookie" not in wrong.headers


def test_too_many_logins_say_when(world: World, customer: SignedUp) -> None:
    limits = Limits(email=parse_limit("1/hour"))
    client = create_app(replace(world.service, login_limits=limits)).test_client()
    assert enter(client, customer).status_code == 303
    refused = enter(client, customer)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 3500
    assert "Too many attempts; please try again in 60 minutes." in refused.get_data(as_text=True)


@pytest.mark.parametrize(
    "next_", ["//evil.example", "https://evil.example", "/\\evil.example", "/a\nb", "", "account"]
)
def test_login_leads_to_no_other_site(client: FlaskClient, customer: SignedUp, next_: str) -> None:
    assert own_path(next_) == "/account"
    assert enter(client, customer, next=next_).location == "/account"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://["},
    ],
)
def test_form_from_elsewhere_is_refused(
    client: FlaskClient, customer: SignedUp, headers: dict[str, str]
) -> None:
    form = {"email": customer.email, "password": PASSWORD}
    for path in ("/login", "/logout", "/reset", "/reset/x", "/confirm", "/confirm/x"):
        answer = client.post(path, data=form, headers=headers)
        assert (answer.status_code, answer.get_json()["code"]) == (403, "forbidden"), path


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://localhost"}, {"Origin": "null"}])
def test_form_of_ours_is_taken_without_fetch_metadata(
    client: FlaskClient, customer: SignedUp, headers: dict[str, str]
) -> None:
    form = {"email": customer.email, "password": PASSWORD}
    assert client.post("/login", data=form, headers=headers).status_code == 303


def test_form_of_another_session_is_refused(
    world: World, client: FlaskClient, customer: SignedUp
) -> None:
    enter(client, customer)
    theirs = create_app(world.service).test_client()
    enter(theirs, world.sign_up())
    for form in ({"form": form_of(theirs)}, {"form": "é"}, {"form": ""}, {}):
        assert client.post("/logout", data=form, headers=BROWSER).status_code == 403
    assert is_in(client)


def test_reset_by_mail(world: World, client: FlaskClient, customer: SignedUp) -> None:
    enter(client, customer)
    asked, unknown = (
        client.post("/reset", data={"email": email}, headers=BROWSER)
        for email in (customer.email, "nobody@example.com")
    )
    assert (asked.status_code, asked.data) == (unknown.status_code, unknown.data)
    path = f"/reset/{mailed(world, customer, 'reset')}"
    for _ in range(2):
        assert "New password" in client.get(path, headers=BROWSER).get_data(as_text=True)
    short = client.post(path, data={"password": "short"}, headers=BROWSER)
    assert short.status_code == 400
    assert "at least 8 characters" in short.get_data(as_text=True)
    other = create_app(world.service).test_client()
    enter(other, customer)
    for _ in range(2):  # as by a double click
        done = client.post(path, data={"password": ANOTHER}, headers=BROWSER)
        assert (done.status_code, done.location) == (303, "/account")
        page = client.get(done.location, headers=BROWSER).get_data(as_text=True)
        assert "Your password is set" in page
    assert not is_in(other)
    assert enter(client, customer, ANOTHER).status_code == 303
    for again in (client.get(path), client.post(path, data={"password": PASSWORD})):
        assert again.status_code == 404
        assert "was used, or is too old" in again.get_data(as_text=True)


def test_confirmation_by_mail(world: World, client: FlaskClient, customer: SignedUp) -> None:
    send_confirmation(world, customer)
    path = f"/confirm/{mailed(world, customer, 'confirm')}"
    for _ in range(2):
        page = client.get(path, headers=BROWSER).get_data(as_text=True)
        assert "Yes, I signed up" in page
        assert "If that was not you" in page
        assert 'href="/reset"' in page
    assert "is confirmed" in client.post(path, headers=BROWSER).get_data(as_text=True)
    for again in (client.post(path, headers=BROWSER), client.get(path, headers=BROWSER)):
        assert again.status_code == 200
        assert "is confirmed" in again.get_data(as_text=True)


def test_link_of_an_address_that_was_corrected_confirms_nothing(
    world: World, client: FlaskClient, customer: SignedUp
) -> None:
    send_confirmation(world, customer)
    path = f"/confirm/{mailed(world, customer, 'confirm')}"
    client.post(path, headers=BROWSER)
    with world.service.database.write() as session:
        session.get_one(Customer, customer.customer_id).email_confirmed_at = None
    for again in (client.post(path, headers=BROWSER), client.get(path, headers=BROWSER)):
        assert again.status_code == 404


def test_address_that_asked_too_often_for_a_reset_is_kept_in_its_field(
    world: World, customer: SignedUp
) -> None:
    limits = Limits(email=parse_limit("1/hour"))
    client = create_app(replace(world.service, login_limits=limits)).test_client()
    form = {"email": customer.email}
    sent, refused = (client.post("/reset", data=form, headers=BROWSER) for _ in range(2))
    assert (sent.status_code, refused.status_code) == (200, 429)
    page = refused.get_data(as_text=True)
    (field,) = re.findall(r"<input[^>]*>", page)
    assert f'value="{customer.email}"' in field
    assert 'aria-invalid="true" aria-describedby="fault"' in field
    assert re.search(r'id="fault">[^<]*please try again in 60 minutes', page)


def test_mail_that_was_asked_for_too_often_says_when(world: World, customer: SignedUp) -> None:
    limits = Limits(email=parse_limit("1/hour"))
    client = create_app(replace(world.service, login_limits=limits)).test_client()
    enter(client, customer)
    form = {"form": form_of(client)}
    sent, refused = (client.post("/confirm", data=form, headers=BROWSER) for _ in range(2))
    assert (sent.status_code, refused.status_code) == (200, 429)
    page = refused.get_data(as_text=True)
    assert "The mail was sent several times. Too many attempts; please try again" in page
    assert "confirms nothing" not in page


@pytest.mark.parametrize("session", ["\0", "0" * 63, "É" * 64, "\ud800", 7, None])
def test_session_that_cannot_be_one_ends_none(
    client: FlaskClient, customer: SignedUp, session: object
) -> None:
    enter(client, customer)
    fields = {"form": form_of(client), "session": session}
    answer = client.post("/account/sessions/end", json=fields, headers=BROWSER)
    assert (answer.status_code, answer.location) == (303, "/account")
    assert is_in(client)


def test_text_that_cannot_be_sent_is_shown_as_far_as_it_can(client: FlaskClient) -> None:
    fields = {"email": "ada\ud800", "password": PASSWORD}
    answer = client.post("/login", json=fields, headers=BROWSER)
    assert answer.status_code == 400
    assert 'value="ada?"' in answer.get_data(as_text=True)


def test_confirmation_is_asked_for_again_by_who_is_logged_in(
    world: World, client: FlaskClient, customer: SignedUp
) -> None:
    assert client.post("/confirm", headers=BROWSER).location == "/login?next=/account"
    enter(client, customer)
    assert client.post("/confirm", headers=BROWSER).status_code == 403
    sent = client.post("/confirm", data={"form": form_of(client)}, headers=BROWSER)
    assert sent.status_code == 200
    assert mailed(world, customer, "confirm")


def test_who_has_to_confirm_is_offered_another_mail(world: World) -> None:
    waiting = replace(world, service=replace(world.service, confirm_email=True))
    customer, client = waiting.sign_up(), create_app(waiting.service).test_client()
    enter(client, customer)
    page = client.get("/account", headers=BROWSER).get_data(as_text=True)
    assert '<form class="plain" action="/confirm" method="post">' in page
    assert "Your trial begins when your instance is set up." in page
    assert "/account/cancel" not in page
    assert '<p class="pill good">Trial</p>' not in page
    status = client.get(f"/status/{customer.status_token}").get_data(as_text=True)
    assert "open the link in our mail" in status
    assert "begins when your instance is set up" in status
    assert "days left" not in status


@pytest.mark.parametrize("path", ["/login", "/reset", "/reset/x", "/confirm/x"])
def test_pages_with_secrets_are_told_to_nobody(client: FlaskClient, path: str) -> None:
    headers = client.get(path, headers=BROWSER).headers
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Robots-Tag"] == "noindex, nofollow"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (FIREFOX, "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Safari/604.1", "Safari on iPhone"),
        ("curl/8.0", ""),
    ],
)
def test_browser_in_words(said: str, told: str) -> None:
    assert in_words(said) == told

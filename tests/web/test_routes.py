"""Who gets what by which route: a stranger, another customer and an operator walk all of them, and
nothing of a customer is reachable for others. A route that nobody has classified fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from tenantry.adapters.database.base import Base
from tenantry.adapters.database.tables import LicenseRow, Login
from tenantry.web.app import create_app
from tests.system.world import World, make_world
from tests.web.visitor import BROWSER, COOKIE, Visitor, new_visitor


class Class(StrEnum):
    """Who a route is for."""

    PUBLIC = "public"  # says nothing about anybody
    LINK = "link"  # whoever has the random link that a customer was sent
    OWN = "own"  # the customer who is logged in
    OPERATOR = "operator"
    HOOK = "hook"  # who signs


CLASSES = {
    "static": Class.PUBLIC,
    "signup_page.show_form": Class.PUBLIC,
    "signup.create_customer": Class.PUBLIC,
    "documentation.show_openapi": Class.PUBLIC,
    "documentation.show_documentation": Class.PUBLIC,
    "ops.show_health": Class.PUBLIC,
    "ops.show_readiness": Class.PUBLIC,
    "ops.show_keys": Class.PUBLIC,
    "ops.show_revocations": Class.PUBLIC,
    "ops.show_metrics": Class.OPERATOR,
    "status_page.show_status": Class.LINK,
    "deployment.show_deployment": Class.LINK,
    "hooks.take_hint": Class.HOOK,
    "billing.take_message": Class.HOOK,
    "login_page.show_login": Class.PUBLIC,
    "login_page.enter": Class.PUBLIC,
    "login_page.leave": Class.OWN,
    "reset_page.show_request": Class.PUBLIC,
    "reset_page.request_link": Class.PUBLIC,
    "reset_page.show_reset": Class.LINK,
    "reset_page.reset": Class.LINK,
    "confirm_page.show_confirm": Class.LINK,
    "confirm_page.confirm": Class.LINK,
    "confirm_page.send_again": Class.OWN,
    "account_page.show_account": Class.OWN,
    "account_page.download_license": Class.OWN,
    "account_page.tell_first_login": Class.OWN,
    "account_page.ask_to_cancel": Class.OWN,
    "account_page.cancel": Class.OWN,
    "account_page.resume": Class.OWN,
    "account_page.change_time_zone": Class.OWN,
    "account_page.end_session": Class.OWN,
}

# What anybody may have done to a customer, by its address alone: it is sent a mail.
ASKED_FOR = {"/reset": {"account_tokens", "outbox"}}

LET_IN = {
    Class.PUBLIC: {"stranger", "second", "operator", "first"},
    Class.OWN: {"second", "first"},
    Class.OPERATOR: {"operator"},
}

# Who is logged in is led on.
SHOWN_TO = {"/login": {"stranger", "operator"}}

FROM_ELSEWHERE = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
)

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
ELSEWHERE = {"REMOTE_ADDR": "203.0.113.7"}  # this machine would be taken for an operator
CARRIES = ("POST", "PUT", "PATCH")
OPERATOR = "the operator's token"
PROVIDER = "the payment provider's secret"


@dataclass
class Town:
    """A service with two customers, the first of whom has something to lose."""

    world: World
    app: Flask
    first: Visitor
    second: Visitor
    secrets: Mapping[str, str]  # of the first

    def rows(self) -> dict[str, list[str]]:
        """All that is stored about the first customer, by table."""
        with self.world.service.database.read() as session:
            return {
                name: sorted(map(repr, session.execute(select(table).where(column == self.id))))
                for name, table in Base.metadata.tables.items()
                if (column := table.c.get("customer_id")) is not None
            }

    @property
    def id(self) -> str:
        return self.first.customer_id


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    world = make_world(
        folder,
        f"sqlite:///{folder}/tenantry.db",
        metrics_token_file=write(folder / "metrics", OPERATOR),
        billing_secret_file=write(folder / "billing", PROVIDER),
    )
    first = new_visitor(
        world, email="secret-one@example.org", company_name="Hidden Ltd", full_name="Ada Hidden"
    )
    second = new_visitor(world)
    yield Town(world, create_app(world.service), first, second, secrets_of(first))
    world.service.database.close()


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def secrets_of(visitor: Visitor) -> dict[str, str]:
    signed_up = visitor.signed_up
    return {
        "id": signed_up.customer_id,
        "e-mail": signed_up.email,
        "company": "Hidden Ltd",
        "name": "Ada Hidden",
        "license": signed_up.license_token,
        "license id": visitor.only(LicenseRow).license_id,
        "status token": signed_up.status_token,
        "session": visitor.only(Login).token_hash,
    }


def rules(app: Flask) -> Sequence[Rule]:
    return sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule)


def test_every_route_has_a_class_and_every_class_a_route(town: Town) -> None:
    assert {rule.endpoint for rule in rules(town.app)} == set(CLASSES)


def paths(town: Town, rule: Rule) -> Iterator[str]:
    """Addresses of the route that name the first customer, or what is another's."""
    holes = {
        "token": (town.second.signed_up.status_token, town.id),
        "customer_id": (town.id,),
        "kind": ("github", "argocd", "billing"),
        "filename": ("app.css", "../app.py"),
    }
    names = sorted(rule.arguments)
    for values in product(*(holes[name] for name in names)):
        path = rule.rule
        for name, value in zip(names, values, strict=True):
            path = path.replace(f"<path:{name}>", value).replace(f"<{name}>", value)
        yield path


@dataclass
class Walker:
    """Somebody with all that they have: `second` has a session and a status link."""

    town: Town
    who: str
    client: FlaskClient
    form: str = ""  # token of their own forms

    def ask(self, method: str, path: str, **more: Any) -> TestResponse:
        headers = {**BROWSER, **more.pop("headers", {})}
        if self.who == "operator":
            headers = {"Authorization": f"Bearer {OPERATOR}"}
        elif self.who == "second" and path.startswith("/api/"):
            headers = {"Authorization": f"Bearer {self.town.second.signed_up.status_token}"}
        return self.client.open(
            path, method=method, headers=headers, environ_base=ELSEWHERE, buffered=True, **more
        )


def send_out(town: Town, who: str) -> Walker:
    walker = Walker(town, who, town.app.test_client())
    if who in ("first", "second"):
        walker.client.set_cookie(COOKIE, getattr(town, who).log_in())
        page = walker.ask("GET", "/account").get_data(as_text=True)
        walker.form = page.partition('name="form" value="')[2].partition('"')[0]
        assert walker.form
    return walker


def fields(town: Town, form: str) -> dict[str, str]:
    """What any of our forms may hold, all of it aimed at the first customer."""
    return {
        "form": form,
        "session": town.secrets["session"],
        "time_zone": "Asia/Tokyo",
        "email": "Secret-One@Example.org",  # written so, it may be shown to who typed it
        "password": "SecurePass1234",
        "company_name": "Another",
        "customer_id": town.id,
    }


@pytest.mark.parametrize("who", ["stranger", "second", "operator"])
def test_nothing_of_a_customer_is_reachable_for_others(town: Town, who: str) -> None:
    for rule in {rule.rule: rule for rule in rules(town.app)}.values():
        before, walker = town.rows(), send_out(town, who)
        for path, method in product(paths(town, rule), METHODS):
            data = fields(town, walker.form) if method in CARRIES else None
            answer = walker.ask(method, path, data=data)
            assert answer.status_code < 500, (method, path)
            said = f"{answer.headers} {answer.get_data(as_text=True)}"
            found = [name for name, secret in town.secrets.items() if secret in said]
            assert not found, (method, path)
        after = town.rows()
        changed = {name for name in after if after[name] != before[name]}
        assert changed <= ASKED_FOR.get(rule.rule, set()), rule


def with_class(town: Town, method: str, *classes: Class) -> Iterator[Rule]:
    for rule in rules(town.app):
        if CLASSES[rule.endpoint] in classes and method in (rule.methods or ()):
            yield rule


def test_each_class_lets_in_whom_it_is_for(town: Town) -> None:
    """Else the walk would prove nothing."""
    walkers = [send_out(town, who) for who in ("stranger", "second", "operator", "first")]
    for rule in with_class(town, "GET", *LET_IN):
        path = next(paths(town, rule))
        answers = {each.who: each.ask("GET", path) for each in walkers}
        let_in = {who for who, answer in answers.items() if answer.status_code == 200}
        assert let_in == SHOWN_TO.get(rule.rule, LET_IN[CLASSES[rule.endpoint]]), rule
        if CLASSES[rule.endpoint] == Class.OWN:
            own = answers["first"].get_data(as_text=True)
            assert any(secret in own for secret in town.secrets.values()), rule


def test_a_form_of_another_page_does_nothing(town: Town) -> None:
    first, second = send_out(town, "first"), send_out(town, "second")
    other_session = send_out(town, "first").form
    before = town.rows()
    for rule in with_class(town, "POST", Class.OWN):
        for form in ("", "ä", second.form, other_session):
            answer = first.ask("POST", rule.rule, data=fields(town, form))
            assert answer.status_code == 403, rule
        for headers in FROM_ELSEWHERE:
            own = fields(town, first.form)
            answer = first.ask("POST", rule.rule, data=own, headers=headers)
            assert answer.status_code == 403, (rule, headers)
    assert town.rows() == before


def test_the_customers_own_form_does_something(town: Town) -> None:
    """Else the test above would prove nothing."""
    for rule in with_class(town, "POST", Class.OWN):
        first = send_out(town, "first")
        before = town.rows()
        answer = first.ask("POST", rule.rule, data=fields(town, first.form))
        assert answer.status_code in (200, 303), rule
        assert town.rows() != before, rule

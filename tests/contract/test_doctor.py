"""`tenantry doctor` on installations that are well, and on those that are not."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tenantry import assets, doctor, wiring
from tenantry.adapters import process
from tenantry.adapters.database import schema
from tenantry.adapters.database.session import Database
from tenantry.adapters.database.tables import (
    BillingEvent,
    Customer,
    Flag,
    LicenseRow,
    Subscription,
    Tenant,
)
from tenantry.adapters.git import TenantsRepository, create_bare
from tenantry.cli.main import cli
from tenantry.doctor import examine
from tenantry.flows import keys
from tenantry.flows.attention import Finding, look
from tenantry.settings import load
from tests.overlays import private_product
from tests.programs import require

VECTORS = Path(__file__).parent.parent / "data" / "kubeseal"
IDS = [
    "settings.valid", "settings.known",
    "program.git", "program.kubeseal", "program.kustomize",
    "keys.license", "keys.vault", "product.files", "database.reachable", "mail.folder",
    "limits.address", "public.url", "metrics.token", "mail.support", "billing.webhook",
    "cell.main.repository",
    "cell.main.platform", "cell.main.sealing", "cell.main.argocd",
]  # fmt: skip
ROWS = [
    "flags", "mail.addresses", "billing.customers", "billing.payments", "billing.heard",
    "subscriptions.followed", "licenses.renewed",
]  # fmt: skip


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A good development set-up with a local bare repository, and without Argo CD."""
    for program in ("kubeseal", "kustomize"):
        require(program)
    for name in list(os.environ):
        if name.upper().startswith("TENANTRY_"):
            monkeypatch.delenv(name)
    create_bare(tmp_path / "tenants.git")
    monkeypatch.setenv("TENANTRY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TENANTRY_CELLS__MAIN__REPOSITORY_URL", str(tmp_path / "tenants.git"))
    certificate = str(VECTORS / "throwaway-cert.pem")
    monkeypatch.setenv("TENANTRY_CELLS__MAIN__SEALING_CERTIFICATE", certificate)
    return monkeypatch


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", *arguments], catch_exceptions=False)


def findings(**overrides: Any) -> dict[str, Finding]:
    return {finding.id: finding for finding in examine(load(**overrides))}


def bad(**overrides: Any) -> dict[str, Finding]:
    return {name: each for name, each in findings(**overrides).items() if not each.ok}


def only_bad(**overrides: Any) -> Finding:
    """The one thing that is wrong beside Argo CD, which is not there."""
    (found,) = (each for name, each in bad(**overrides).items() if name != "cell.main.argocd")
    assert found.remedy
    return found


# Answers


def test_good_set_up_lacks_nothing_but_argo_cd_and_says_so() -> None:
    answer = json.loads(run("--json").output)
    assert [each["id"] for each in answer["findings"] if not each["ok"]] == ["cell.main.argocd"]
    assert "no status can be known" in answer["findings"][-1]["message"]
    assert answer["findings"][-1]["remedy"] == "set TENANTRY_CELLS__<CELL>__ARGOCD_URL"


def test_json_is_one_object_with_every_finding() -> None:
    result = run("--json")
    answer = json.loads(result.output)
    assert answer.keys() == {"ok", "findings"}
    assert all(each.keys() == {"id", "ok", "message", "remedy"} for each in answer["findings"])
    assert [each["id"] for each in answer["findings"]] == IDS
    assert answer["ok"] is False
    assert result.exit_code == 1


def test_each_finding_has_an_id_of_its_own_and_a_remedy_where_bad(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("TENANTRY_CELLS__EU__DOMAIN", "eu.example.com")
    environment.setenv("TENANTRY_PRODUCT_DIR", "/nonexistent")
    environment.setenv("TENANTRY_DATABASE_URL", "nonsense")
    environment.setenv("TENANTRY_MAIL_DIR", "/dev/null/mail")
    environment.setenv("TENANTRY_KEYS_DIR", "/dev/null/keys")
    environment.setenv("TENANTRY_PROT", "1")
    found = list(examine(load()))
    assert len({each.id for each in found}) == len(found)
    assert all(bool(each.remedy) != each.ok for each in found)
    assert {each.id for each in found if not each.ok} == {
        "settings.known", "keys.license", "keys.vault", "product.files", "database.reachable",
        "mail.folder", "cell.main.argocd", "cell.eu.repository", "cell.eu.sealing",
        "cell.eu.argocd",
    }  # fmt: skip


def test_lines_show_each_finding_and_the_remedy_below() -> None:
    result = run()
    lines = result.output.splitlines()
    assert [line.split()[1] for line in lines if line[:2] in ("ok", "!!")] == IDS
    assert lines[-3].split() == ["→", "set", "TENANTRY_CELLS__<CELL>__ARGOCD_URL"]
    assert lines[-1] == "1 wrong"
    assert result.exit_code == 1


def test_long_lines_are_not_broken(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("COLUMNS", "40")
    folder = tmp_path / ("long" * 20)
    environment.setenv("TENANTRY_MAIL_DIR", str(folder))
    assert f"mail goes to files in {folder}\n" in run().output


def test_nothing_wrong_exits_with_zero(environment: pytest.MonkeyPatch) -> None:
    environment.setattr(doctor, "_argocd", lambda _: "Argo CD v3 is there")
    result = run()
    assert result.output.endswith("\nnothing wrong\n")
    assert result.exit_code == 0
    answer = json.loads(run("--json").output)
    assert (answer["ok"], {each["remedy"] for each in answer["findings"]}) == (True, {""})


def test_settings_that_are_not_valid_are_a_finding(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TENANTRY_PORT", "many")
    result = run("--json")
    (finding,) = json.loads(result.output)["findings"]
    assert finding["id"] == "settings.valid"
    assert finding["message"].startswith("TENANTRY_PORT: ")
    assert finding["remedy"] == "see docs/settings.md"
    assert result.exit_code == 1


def test_misspelt_variable_is_found(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TENANTRY_PROT", "1")
    found = only_bad()
    assert (found.id, found.message) == ("settings.known", "no such setting: TENANTRY_PROT")


def test_second_look_finds_the_same() -> None:
    assert run("--json").output == run("--json").output


# Programs


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("kustomize v5.7.9", "is 5.7.9, which is too old"),
        ("kustomize devel", "is of an unknown version, which is too old"),
    ],
)
def test_old_program_is_found(
    environment: pytest.MonkeyPatch, tmp_path: Path, version: str, says: str
) -> None:
    program = tmp_path / "bin" / "kustomize"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    environment.setattr(process, "_PROGRAM_FOLDERS", [str(program.parent)])
    found = findings()["program.kustomize"]
    assert (found.ok, found.message) == (False, f"{program} {says}")
    assert "make tools" in found.remedy


def test_missing_program_is_found(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "git").symlink_to(str(shutil.which("git")))
    environment.setattr(process, "_PROGRAM_FOLDERS", [])
    environment.setenv("PATH", str(tmp_path))
    found = {each.id: each for each in examine(load()) if each.id.startswith("program.")}
    assert found["program.git"].ok
    for name in ("kubeseal", "kustomize"):
        each = found[f"program.{name}"]
        assert (each.ok, each.message) == (False, f"{name} is not installed")
        assert "make tools" in each.remedy


# Keys


def test_production_without_keys_names_both_and_makes_none(tmp_path: Path) -> None:
    found = bad(environment="production")
    assert "license-key.pem is missing" in found["keys.license"].message
    assert "vault.keys is missing" in found["keys.vault"].message
    assert (
        found["keys.license"].remedy
        == found["keys.vault"].remedy
        == ("see keys/README.md for how each key is made")
    )
    assert not (tmp_path / "data" / "keys").exists()


def test_production_with_keys_of_development_is_found(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "keys"
    keys.make_development_keys(folder, algorithm="EdDSA")
    keys.make_sealing_pair(folder, datetime.now(UTC))
    name = "TENANTRY_CELLS__MAIN__SEALING_CERTIFICATE"
    environment.setenv(name, str(folder / keys.SEALING_CERTIFICATE))
    found = bad(environment="production")
    assert "license-key.pem is a development key" in found["keys.license"].message
    assert "vault.keys is a development key" in found["keys.vault"].message
    assert "is a development certificate" in found["cell.main.sealing"].message
    assert "kubeseal --fetch-cert" in found["cell.main.sealing"].remedy


def test_key_that_is_no_key_is_found_and_not_shown(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "keys"
    keys.make_development_keys(folder, algorithm="EdDSA")
    (folder / keys.VAULT_KEYS).write_text("canary\n")
    found = only_bad()
    assert found.id == "keys.vault"
    assert "canary" not in found.message + found.remedy


# Product


@pytest.mark.parametrize(
    ("path", "old", "new", "says"),
    [
        ("product.yaml", "days: 14", "days: soon", r"product\.yaml:\d+: .*trial\.days"),
        ("overlay/namespace.yaml", "{{", "{{ nobody.", r"namespace\.yaml:\d+: .*nobody"),
        ("mail/welcome.txt", "{{ company_name }}", "{{ company }}", r"mail/welcome\.txt:\d+: .*"),
    ],
)
def test_broken_product_is_found_with_file_line_and_hint(
    tmp_path: Path, path: str, old: str, new: str, says: str
) -> None:
    folder = tmp_path / "product"
    shutil.copytree(assets.path("tenant_templates"), folder)
    text = (folder / path).read_text()
    assert old in text
    (folder / path).write_text(text.replace(old, new))
    found = only_bad(product_dir=folder)
    assert found.id == "product.files"
    assert re.search(says, found.message)


# Private images


@pytest.mark.parametrize(
    ("content", "ok", "says"),
    [
        ('{"auths": {"registry.example": {"auth": "Y2FuYXJ5"}}}', True, "for registry.example"),
        ('{"auths": {"registry.example": {}}}', False, "no credentials for registry.example"),
        ("canary", False, "is not JSON"),
        ("", False, "is empty"),
        (None, False, "has no credentials for them"),
    ],
)
def test_credentials_are_looked_at_where_the_product_asks_for_them(
    environment: pytest.MonkeyPatch, tmp_path: Path, content: str | None, ok: bool, says: str
) -> None:
    assert "cell.main.images" not in findings()
    folder = private_product(tmp_path / "product")
    if content is not None:
        (tmp_path / "registry.json").write_text(content)
        variable = "TENANTRY_CELLS__MAIN__REGISTRY_CREDENTIALS_FILE"
        environment.setenv(variable, str(tmp_path / "registry.json"))
    found = findings(product_dir=folder)["cell.main.images"]
    assert (found.ok, bool(found.remedy)) == (ok, not ok)
    assert says in found.message
    assert "canary" not in found.message
    assert "Y2FuYXJ5" not in found.message


# Database


def test_database_of_development_is_brought_up_to_date_by_itself() -> None:
    assert findings()["database.reachable"].message.endswith("brought up to date at start")
    wiring.build(load()).database.close()
    assert findings()["database.reachable"].message == f"sqlite at {schema.head()}"


def test_database_of_production_waits_for_the_operator() -> None:
    found = bad(environment="production")["database.reachable"]
    assert f"at nothing, not at {schema.head()}" in found.message
    assert found.remedy == "run `tenantry db upgrade`"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://tenantry:canary@127.0.0.1:1/tenantry",
        "sqlite:////dev/null/tenantry.db",
        "sqlite:////etc/hostname",
        "mysql://tenantry:canary@127.0.0.1/tenantry",
        "nonsense",
    ],
)
def test_database_that_does_not_answer_is_found_and_its_password_not_shown(url: str) -> None:
    found = only_bad(database_url=url)
    assert found.id == "database.reachable"
    assert "canary" not in found.message + found.remedy


# Limits


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "neither signups nor logins are limited by address"),
        ({"signup_limit_address": "1/hour"}, "signups are limited by the connection"),
        ({"login_limit_address": "1/hour"}, "logins are limited by the connection"),
        (
            {"signup_limit_address": "1/hour", "login_limit_address": "1/hour"},
            "signups and logins are limited",
        ),
        ({"signup_limit_address": "1/hour"}, "set TENANTRY_TRUSTED_PROXIES there"),
        ({"signup_limit_address": "1/hour", "trusted_proxies": 2}, "the outermost of 2 proxies"),
    ],
)
def test_what_limits_go_by_is_said(changes: dict[str, Any], says: str) -> None:
    assert says in findings(**changes)["limits.address"].message


# Who is reached


def test_who_is_reached_is_said(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("whsec")
    given = {"billing_secret_file": tmp_path / "secret", "public_url": "https://a.example/"}
    found = findings(**given, support_mail="oncall@a.example")
    ids = ("public.url", "mail.support", "billing.webhook")
    assert [found[each].message for each in ids] == [
        "customers are led to https://a.example",
        "oncall@a.example is told of failed deployments",
        "https://a.example/hooks/billing takes messages signed by stripe",
    ]


def test_readers_of_metrics_are_said(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("metrics")
    public = {"public_url": "https://a.example"}
    for changes, says in (
        ({}, "this machine reads /metrics: TENANTRY_METRICS_TOKEN_FILE is not set"),
        (public, "nobody reads /metrics: TENANTRY_METRICS_TOKEN_FILE is not set"),
        ({"metrics_token_file": tmp_path / "token"}, "who has the token reads /metrics"),
    ):
        assert findings(**changes)["metrics.token"].message == says
    assert only_bad(metrics_token_file="/nope").id == "metrics.token"


def test_production_that_customers_could_not_pay_is_found() -> None:
    found = bad(environment="production")
    assert "nothing tells what was paid" in found["billing.webhook"].message
    assert found["billing.webhook"].remedy == "set TENANTRY_BILLING_SECRET_FILE"
    assert "for all to read" in found["public.url"].message
    assert not {"billing.webhook", "public.url"} & bad().keys()


def test_billing_secret_that_cannot_be_read_is_found() -> None:
    found = only_bad(billing_secret_file="/nope")
    assert (found.id, found.message) == ("billing.webhook", "/nope: No such file or directory")


def test_support_that_is_a_page_is_told_nothing(tmp_path: Path) -> None:
    shutil.copytree(assets.path("tenant_templates"), tmp_path / "product")
    file = tmp_path / "product" / "product.yaml"
    is_page = re.sub("(?m)^support: .*$", "support: https://help.example/@acme", file.read_text())
    file.write_text(is_page)
    found = only_bad(product_dir=tmp_path / "product")
    assert (found.id, found.remedy) == ("mail.support", "set TENANTRY_SUPPORT_MAIL")
    assert findings(product_dir=tmp_path / "product", support_mail="a@b.example")["mail.support"].ok


# Neighbors


def test_repository_that_is_not_there_is_found(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "tenants.git")
    assert only_bad().id == "cell.main.repository"


def test_cell_without_repository_is_found(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("TENANTRY_CELLS__MAIN__REPOSITORY_URL")
    found = only_bad()
    assert (found.id, found.message) == ("cell.main.repository", "no tenants repository is set")
    assert found.remedy == "set TENANTRY_CELLS__MAIN__REPOSITORY_URL"


def test_repository_is_looked_at_and_not_changed(tmp_path: Path) -> None:
    assert findings()["cell.main.repository"].message == "reachable, and empty"
    remote = str(tmp_path / "tenants.git")
    repository = TenantsRepository(remote, tmp_path / "clone.git")
    assert repository.fetch() is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sealing_certificate": None}, "has no sealing certificate"),
        ({"sealing_certificate": "/nonexistent"}, "No such file"),
        ({"sealing_certificate": VECTORS / "plain.yaml"}, "not a PEM certificate"),
        ({"sealing_fingerprint": "00" * 32}, "not the pinned one but"),
    ],
)
def test_unusable_sealing_certificate_is_found(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    cell = {
        "repository_url": str(tmp_path / "tenants.git"),
        "sealing_certificate": VECTORS / "throwaway-cert.pem",
    }
    found = only_bad(cells={"main": cell | changes})
    assert found.id == "cell.main.sealing"
    assert says in found.message


@pytest.mark.parametrize(("age", "says"), [(3645, "expires on"), (3651, "expired on")])
def test_sealing_certificate_near_its_end_is_found(tmp_path: Path, age: int, says: str) -> None:
    keys.make_sealing_pair(tmp_path, datetime.now(UTC) - timedelta(days=age))
    cell = {
        "repository_url": str(tmp_path / "tenants.git"),
        "sealing_certificate": tmp_path / keys.SEALING_CERTIFICATE,
    }
    found = only_bad(cells={"main": cell})
    assert found.id == "cell.main.sealing"
    assert says in found.message
    assert "kubeseal --fetch-cert" in found.remedy


@contextmanager
def argocd(answers: dict[str, Any]) -> Iterator[str]:
    """As much of Argo CD's API as the doctor asks."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.get(self.path.partition("?")[0])
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def with_argocd(tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    (tmp_path / "token").write_text("canary")

    def settings_of(url: str) -> dict[str, Any]:
        cell = {
            "repository_url": str(tmp_path / "tenants.git"),
            "sealing_certificate": VECTORS / "throwaway-cert.pem",
            "argocd_url": url,
            "argocd_token_file": tmp_path / "token",
        }
        return {"cells": {"main": cell}}

    return settings_of


CAN_I = "/api/v1/account/can-i/applications/get/tenants/*"
CAN_I_SYNC = "/api/v1/account/can-i/applications/sync/tenants/*"
CAN_I_SETS = "/api/v1/account/can-i/applicationsets/get/tenants/*"
GOOD: dict[str, Any] = {
    "/api/version": {"Version": "v3.4.4"},
    "/api/v1/session/userinfo": {"loggedIn": True, "username": "tenantry"},
    CAN_I: {"value": "yes"},
    CAN_I_SYNC: {"value": "yes"},
    CAN_I_SETS: {"value": "yes"},
}


def test_argo_cd_that_is_readable_is_fine(
    with_argocd: Callable[[str], dict[str, Any]],
) -> None:
    with argocd(GOOD) as url:
        assert bad(**with_argocd(url)) == {}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"/api/v1/session/userinfo": {}}, "does not know the token"),
        ({CAN_I: {"value": "no"}}, "may not read Applications of project tenants"),
        ({CAN_I_SYNC: {"value": "no"}}, "may not sync Applications that failed"),
        ({CAN_I_SETS: {"value": "no"}}, "may not read ApplicationSets"),
        ({"/api/version": None}, ""),
    ],
)
def test_argo_cd_that_does_not_let_us_is_found(
    with_argocd: Callable[[str], dict[str, Any]], changes: dict[str, Any], says: str
) -> None:
    with argocd(GOOD | changes) as url:
        (found,) = bad(**with_argocd(url)).values()
    assert found.id == "cell.main.argocd"
    assert says in found.message
    assert found.remedy
    assert "canary" not in found.message


def test_argo_cd_that_is_not_there_is_found(
    with_argocd: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    (found,) = bad(**with_argocd("http://127.0.0.1:1")).values()
    assert found.id == "cell.main.argocd"
    (tmp_path / "token").unlink()
    with argocd(GOOD) as url:
        (found,) = bad(**with_argocd(url)).values()
    assert (found.id, "mount the secret" in found.remedy) == ("cell.main.argocd", True)


# What the rows say


def rows_of(tmp_path: Path) -> Database:
    """The database that the findings are about, as a service leaves it."""
    database = Database(f"sqlite:///{tmp_path}/data/tenantry.db")
    schema.upgrade(database)
    return database


def test_rows_that_are_well_are_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    rows_of(tmp_path).close()
    found = findings()
    told = {name: found[name].message for name in ROWS}
    assert all(found[name].ok for name in ROWS)
    assert told["flags"] == "every switch is where it usually is"
    assert told["mail.addresses"] == "customers' addresses that take no mail: none"


def test_rows_that_need_a_person_are_found(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    database, now = rows_of(tmp_path), datetime.now(UTC)
    long_ago, customer_id = now - timedelta(hours=2), "cust-0123456789"
    flag = Flag(
        name="publish_paused", is_on=True, set_at=now, actor="operator", note="the cluster moves"
    )
    with database.write() as session:
        session.add(flag)
        session.add(_customer(customer_id, now))
        session.flush()
        session.add(
            Subscription(
                customer_id=customer_id, plan="p", status="past_due", trial_ends_at=now,
                created_at=now, look_at=long_ago, paid_until=long_ago,
            )
        )  # fmt: skip
        before = now - timedelta(days=30)
        session.add(_event("evt", before, billing_customer="cus"))
        session.add(_event("evt_1", before, customer_id=customer_id, until=long_ago))
        for kind in ("invoice.paid", "invoice.payment_succeeded"):  # of one payment
            riddle = {"kind": "other", "type": kind, "subscription": "sub_1", "wrapped": b"w"}
            session.add(_event(kind, before, customer_id=customer_id, **riddle))
        session.add(_license(customer_id, now))
        session.add(_tenant(customer_id, now))
    database.close()
    found = bad()
    assert set(ROWS) <= found.keys()
    said = found["flags"].message
    assert re.fullmatch("publish_paused is on since .*Z by operator: the cluster moves", said)
    assert "`tenantry flags set publish_paused off`" in found["flags"].remedy
    assert all(found[name].message.endswith(": 1") for name in ROWS if name != "flags")


def test_payments_that_somebody_spoke_of_are_no_finding(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    database, now = rows_of(tmp_path), datetime.now(UTC)
    told: list[dict[str, Any]] = [
        {"status": "active"},
        {"past_due_since": now},
        {"cancelled_at": now},
        {"paid_until": now - timedelta(days=31)},  # and something was told since, of whomever
        {"paid_until": now + timedelta(days=1)},  # by hand, after what the provider told of
    ]
    last = now - timedelta(days=30)
    usual = dict.fromkeys(("paid_until", "trial_ends_at", "created_at"), now)
    with database.write() as session:
        for number, changes in enumerate(told):
            customer = _customer(f"cust-{number:010}", now)
            customer.email = customer.email_key = customer.status_token_hash = str(number)
            session.add(customer)
            session.flush()
            own = {"customer_id": customer.customer_id, "plan": "p", "status": "past_due"}
            row: dict[str, Any] = {**own, **usual, **changes}
            session.add(Subscription(**row))
            until = min(row["paid_until"], now)
            own_event = _event(f"evt_{number}", last, customer_id=customer.customer_id, until=until)
            session.add(own_event)
        is_other = {"kind": "other", "customer_id": "cust-0000000000"}
        session.add(_event("waits", last, type="invoice.created", wrapped=b"w", **is_other))
        session.add(_event("emptied", last, subscription="sub_1", **is_other))
        session.add(_event("a setup fee", last, wrapped=b"w", **is_other))
        session.flush()
        remedies = {each.id: each.remedy for each in look(session, now)}
        assert remedies["billing.heard"] == remedies["billing.payments"] == ""
    database.close()


def _event(own_id: str, at: datetime, **changes: Any) -> BillingEvent:
    row = {"kind": "paid", "type": "invoice.paid", "actor": "billing"} | changes
    return BillingEvent(external_id=own_id, at=at, received_at=at, **row)


def _customer(customer_id: str, now: datetime) -> Customer:
    return Customer(
        customer_id=customer_id, email="a@example.com", email_key="a@example.com",
        company_name="A", time_zone="UTC", password_hash="!", status_token_hash="s",
        created_at=now, email_refused_at=now,
    )  # fmt: skip


def _license(customer_id: str, now: datetime) -> LicenseRow:
    return LicenseRow(
        license_id="license", customer_id=customer_id, plan="p", kind="paid", key_id="k",
        token_hash="t", wrapped=b"", issued_at=now, expires_at=now + timedelta(days=2),
        grace_until=now + timedelta(days=2),
    )  # fmt: skip


def _tenant(customer_id: str, now: datetime) -> Tenant:
    return Tenant(
        customer_id=customer_id, name="customer-0123456789", cell="main", instance_url="",
        approved={"license_id": "license", "state": "active"}, generation=1, status="ready",
        status_since=now,
    )  # fmt: skip

"""Settings from the environment, and what is said about wrong ones."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tenantry import settings, wiring
from tenantry.adapters.smtp import LONGEST_ANSWER
from tenantry.core.errors import SettingsError
from tenantry.core.public_url import is_https
from tenantry.environment import unknown_variables
from tenantry.flows.mailing.sending import CLAIMED_FOR
from tenantry.settings import load, read_secret
from tests.ports import free_port
from tools.reference import settings_page

CANARY = "postgresql+psycopg://tenantry:canary@db/tenantry"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One without settings, whoever runs the tests."""
    for name in list(os.environ):
        if name.upper().startswith("TENANTRY_"):
            monkeypatch.delenv(name)
    return monkeypatch


def test_defaults_are_those_of_development_on_one_machine() -> None:
    found = load()
    assert not found.is_production
    assert list(found.cells) == ["main"]
    assert found.database == f"sqlite:///{Path.cwd()}/data/tenantry.db"
    assert (found.keys, found.mail) == (Path("data/keys"), Path("data/mail"))


def test_folders_follow_the_data_folder_until_set(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TENANTRY_DATA_DIR", "/srv/tenantry")
    environment.setenv("TENANTRY_MAIL_DIR", "/srv/mail")
    found = load()
    assert found.database == "sqlite:////srv/tenantry/tenantry.db"
    assert (found.keys, found.mail) == (Path("/srv/tenantry/keys"), Path("/srv/mail"))


# Secrets


def test_database_url_comes_from_a_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"{CANARY}\n")
    environment.setenv("TENANTRY_DATABASE_URL_FILE", str(tmp_path / "url"))
    assert load().database == CANARY


def test_file_wins_over_the_variable(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(CANARY)
    environment.setenv("TENANTRY_DATABASE_URL_FILE", str(tmp_path / "url"))
    environment.setenv("TENANTRY_DATABASE_URL", "sqlite:///other.db")
    assert load().database == CANARY


def test_database_url_does_not_show(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TENANTRY_DATABASE_URL", CANARY)
    assert load().database == CANARY
    assert "canary" not in f"{load()!r} {load()} {load().model_dump_json()}"


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "No such file"), (b"\xff\xfe", "is not text"), (b" \n", "is empty")],
)
def test_secret_that_cannot_be_read_names_its_file(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=f"{path}: {says}.*mount"):
        read_secret(path)


@pytest.mark.parametrize("url", ["nonsense", "mysql://u:canary@h/d", "postgresql://u:canary@h/d"])
def test_wrong_database_url_is_named_and_not_quoted(tmp_path: Path, url: str) -> None:
    configured = load(data_dir=tmp_path, database_url=url)
    with pytest.raises(SettingsError, match=r"TENANTRY_DATABASE_URL.*sqlite:///PATH") as caught:
        wiring.open_database(configured)
    assert "canary" not in str(caught.value)


# Wrong values


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TENANTRY_PORT", "many"),
        ("TENANTRY_PORT", "65536"),
        ("TENANTRY_ENVIRONMENT", "staging"),
        ("TENANTRY_LICENSE_ALGORITHM", "HS256"),
        ("TENANTRY_MIN_PASSWORD_LENGTH", "7"),
        ("TENANTRY_PUBLISH_PAUSE", "0"),
        ("TENANTRY_PUBLISH_BATCH", "0"),
        ("TENANTRY_LOG_FORMAT", "xml"),
        ("TENANTRY_SMTP_TIMEOUT", "46"),
        ("TENANTRY_WATCH_SILENCE", "15"),
        ("TENANTRY_PUBLIC_URL", "signup.example.com"),
        ("TENANTRY_PUBLIC_URL", "ftp://signup.example.com"),
        ("TENANTRY_PUBLIC_URL", "https://"),
        ("TENANTRY_PUBLIC_URL", "https://:8443"),
        ("TENANTRY_PUBLIC_URL", "https://signup.example.com/?from=mail"),
        ("TENANTRY_PUBLIC_URL", "https://signup.example.com#form"),
        ("TENANTRY_PUBLIC_URL", ""),
        ("TENANTRY_MAIL_FROM", "bad"),
        ("TENANTRY_MAIL_FROM", "Acme <bad>"),
        ("TENANTRY_SUPPORT_MAIL", "foo"),
        ("TENANTRY_SUPPORT_MAIL", "On call <oncall@example.com>"),
        ("TENANTRY_SUPPORT_MAIL", "https://help@example.com"),
        ("TENANTRY_CELLS", "{}"),
        ("TENANTRY_CELLS", "{broken"),
        ("TENANTRY_CELLS__MAIN__ARGOCD_URL", "argocd"),
        ("TENANTRY_CELLS__MAIN__INGRESS_ANNOTATIONS", "{broken"),
        ("TENANTRY_CELLS__MAIN__INGRESS_ANNOTATIONS", '{"a": 1}'),
        ("TENANTRY_CELLS__MAIN__FORGE_LABELS", "tenantry"),
        ("TENANTRY_CELLS__MAIN__FORGE_REVIEWERS", "ada"),
        ("TENANTRY_CELLS__MAIN__INGRESS_NAMESPACE", "Ingress"),
        ("TENANTRY_CELLS__MAIN__INGRESS_CIDRS", "10.0.0.0/8"),
        ("TENANTRY_CELLS__MAIN__INGRESS_CIDRS", '["10.0.0.1/8"]'),
        ("TENANTRY_CELLS__MAIN__INGRESS_CIDRS", '["nodes"]'),
        ("TENANTRY_CELLS__MAIN__SHARDS", "257"),
        ("TENANTRY_CELLS__MAIN__SHARDS", "48"),
        ("TENANTRY_CELLS__MAIN__SHARDS", "0"),
        ("TENANTRY_CELLS__MAIN__NO_SUCH", "x"),
    ],
)
def test_wrong_value_is_named_with_its_variable(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(SettingsError, match=rf"^{name}\w*: .*docs/settings\.md"):
        load()


@pytest.mark.parametrize("name", ["WATCH_IDLE", "WATCH_POLL"])
def test_silence_outlasts_lists_though_only_they_are_set(
    environment: pytest.MonkeyPatch, name: str
) -> None:
    environment.setenv(f"TENANTRY_{name}", "60")
    with pytest.raises(SettingsError, match=rf"^TENANTRY_WATCH_SILENCE: .*60 s.*TENANTRY_{name}"):
        load()
    environment.setenv(f"TENANTRY_{name}", "59.9")
    assert load().watch_silence == 60


def test_a_letter_is_over_before_another_worker_takes_it() -> None:
    answers = 13  # the most that a letter takes, with encryption and login
    assert answers * LONGEST_ANSWER < CLAIMED_FOR.total_seconds()


def test_the_public_url_is_https_however_it_is_written() -> None:
    for url in ("https://signup.example.com/", "HTTPS://signup.example.com"):
        found = load(public_url=url).public_url
        assert (found, is_https(found)) == ("https://signup.example.com", True)
    assert not is_https(load(public_url="http://https.example.com").public_url)


def test_what_is_empty_and_may_be_missing_is_not_set(environment: pytest.MonkeyPatch) -> None:
    without = load()
    for form, prefix in ((settings.Settings, ""), (settings.CellSettings, "CELLS__MAIN__")):
        for name, field in form.model_fields.items():
            if field.default is None:
                environment.setenv(f"TENANTRY_{prefix}{name}".upper(), "")
    assert {"TENANTRY_SUPPORT_MAIL", "TENANTRY_CELLS__MAIN__ARGOCD_URL"} <= os.environ.keys()
    assert load() == without
    environment.setenv("TENANTRY_CELLS__MAIN__CLUSTER_ISSUER", "")
    assert load().cells["main"].cluster_issuer == ""


def test_every_wrong_value_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TENANTRY_PORT", "many")
    environment.setenv("TENANTRY_CELLS__EU__ARGOCD_URL", "argocd")
    with pytest.raises(SettingsError) as caught:
        load()
    said = str(caught.value)
    assert "TENANTRY_PORT: " in said
    assert "TENANTRY_CELLS__EU__ARGOCD_URL: " in said
    assert "\n" not in said


# Cells


def test_cells_are_set_by_nested_variables(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TENANTRY_CELLS__EU__REPOSITORY_URL", "/srv/eu.git")
    environment.setenv("TENANTRY_CELLS__EU__DOMAIN", "eu.example.com")
    environment.setenv("TENANTRY_CELLS__EU__INGRESS_ANNOTATIONS", '{"a/b": "c"}')
    environment.setenv("TENANTRY_CELLS__US__REPOSITORY_URL", "/srv/us.git")
    found = load().cells
    assert found.keys() == {"eu", "us"}
    assert (found["eu"].repository_url, found["eu"].domain) == ("/srv/eu.git", "eu.example.com")
    assert found["eu"].ingress_annotations == {"a/b": "c"}
    assert found["us"].domain == "localhost"


def test_nested_variables_refine_cells_given_as_json(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TENANTRY_CELLS", '{"main": {"domain": "a.example", "ingress_class": "t"}}')
    environment.setenv("TENANTRY_CELLS__MAIN__DOMAIN", "b.example")
    cell = load().cells["main"]
    assert (cell.domain, cell.ingress_class) == ("b.example", "t")


def test_argocd_may_know_the_repository_by_another_url() -> None:
    cell = settings.CellSettings(repository_url="/srv/t.git")
    assert cell.repository_url_for_argocd == "/srv/t.git"
    named = settings.CellSettings(repository_url="/srv/t.git", argocd_repository_url="https://g/t")
    assert named.repository_url_for_argocd == "https://g/t"


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ({"argocd_url": "http://argo"}, "ARGOCD_TOKEN_FILE"),
        ({"argocd_webhook_url": "http://argo"}, "ARGOCD_WEBHOOK_SECRET_FILE"),
        ({"probe_connect_to": "127.0.0.1"}, "host:port"),
        ({"probe_connect_to": ":443"}, "host:port"),
    ],
)
def test_half_set_cell_is_refused_at_start(tmp_path: Path, cell: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        wiring.build(load(data_dir=tmp_path, cells={"main": cell}))


@pytest.mark.parametrize(
    ("environment_name", "cell", "is_allowed"),
    [
        ("development", {}, True),
        ("development", {"instance_private": False}, False),
        ("production", {}, False),
        ("production", {"instance_private": True}, True),
        ("production", {"probe_connect_to": "{closed}"}, True),
        ("production", {"probe_connect_to": "{closed}", "instance_private": False}, False),
    ],
)
def test_instances_have_private_addresses_where_they_may(
    tmp_path: Path, environment_name: str, cell: dict[str, object], is_allowed: bool
) -> None:
    closed = f"127.0.0.1:{free_port()}"
    cell = {name: closed if value == "{closed}" else value for name, value in cell.items()}
    given = {"data_dir": tmp_path, "cells": {"main": cell}}
    wiring.build(load(**given)).database.close()  # makes the database that production asks for
    with wiring.site(load(environment=environment_name, **given), "main") as site:
        probed = site.cell.probe(f"http://{closed}/")
        assert ("INSTANCE_PRIVATE" not in probed.reason) is is_allowed
        assert site.cell.ask(f"http://{closed}/") is None


# Their reference


def test_each_default_can_be_set_as_the_reference_shows_it(environment: pytest.MonkeyPatch) -> None:
    shown = re.findall(r"(?m)^\| `(\w+)` \| (.*?) \| `([^`]*)` \|", settings_page())
    assert len(shown) > 50
    without = load()
    for name, value, default in shown:
        environment.setenv(name, default)
        if value == "JSON":
            json.loads(default)
        elif " or " in value:
            assert f"`{default}`" in value
    assert load() == without


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONFIRM_EMAIL", "`true` or `false`"),
        ("CELLS__MAIN__INSTANCE_PRIVATE", "`true` or `false`"),
        ("BILLING_SCHEME", "`stripe` or `hmac`"),
        ("CELLS__MAIN__REVIEW_PLAN", "`direct` or `review`"),
        ("CELLS__MAIN__FORGE_LABELS", "JSON"),
    ],
)
def test_the_reference_tells_what_a_setting_takes(name: str, value: str) -> None:
    assert f"| `TENANTRY_{name}` | {value} |" in settings_page()


# Misspelt ones


def test_variables_that_are_no_setting_are_found(environment: pytest.MonkeyPatch) -> None:
    wrong = ["TENANTRY_CELLS__MAIN__DOMIAN", "TENANTRY_PROT", "tenantry_hots"]
    for name in wrong:
        environment.setenv(name, "x")
    for name in ("TENANTRY_PORT", "tenantry_host", "TENANTRY_CELLS__EU__DOMAIN", "TENANTRY_CELLS"):
        environment.setenv(name, "x")
    environment.setenv("TENANTRYX", "another program's")
    assert unknown_variables(settings.Settings.model_fields) == wrong


@pytest.mark.parametrize(
    "url", ["https://user:canary@git.example.com/t.git", "https://canary@git.example.com/t.git"]
)
def test_credentials_in_a_repository_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match=r"REPOSITORY_URL: .*credentials") as caught:
        load(cells={"main": {"repository_url": url}})
    assert "canary" not in str(caught.value)
    by_ssh = "git@git.example.com:acme/t.git"
    assert load(cells={"main": {"repository_url": by_ssh}}).cells["main"].repository_url == by_ssh

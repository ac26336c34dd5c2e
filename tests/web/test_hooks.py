"""Webhooks of a forge: who knows the secret makes the service look, and nobody else does."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from tenantry import settings, wiring
from tenantry.adapters.database.session import upsert
from tenantry.adapters.database.tables import Repository, Watch
from tenantry.flows.service import Service
from tenantry.flows.webhooks import APART
from tenantry.web.app import create_app

MEBIBYTE = 1024 * 1024
START = datetime(2026, 3, 1, tzinfo=UTC)
BODY = b'{"action": "closed", "number": 1}'
# by name: the forge's kind and the secret
CELLS = {
    "hub": ("github", "of the hub"),
    "hub-two": ("github", "of the other hub"),
    "lab": ("gitlab", "of the l\u00e4b"),
    "tea": ("gitea", "of the tea"),
}


class Clock:
    """A service's, set by hand."""

    now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("hooks")
    cells: dict[str, Any] = {"plain": {}}
    for name, (_, secret) in CELLS.items():
        (folder / name).write_text(f"{secret}\n")
        cells[name] = {"forge_webhook_secret_file": folder / name}
    service = wiring.build(settings.load(data_dir=folder / "data", cells=cells), now=clock)
    yield service
    service.database.close()


@pytest.fixture
def service(built: Service, clock: Clock) -> Service:
    """With a forge for each cell; `plain` has one, too, but no secret."""
    clock.now = START
    with built.database.write() as session:
        session.execute(delete(Repository))
    kinds = {name: kind for name, (kind, _) in CELLS.items()} | {"plain": "github"}
    cells: dict[str, Any] = {
        name: replace(cell, forge=SimpleNamespace(kind=kinds[name]))
        for name, cell in built.cells.items()
    }
    return replace(built, cells=cells)


@pytest.fixture
def client(service: Service) -> FlaskClient:
    return create_app(service).test_client()


def hints(service: Service) -> dict[str, datetime]:
    """When each cell was last hinted at, those that were."""
    with service.database.read() as session:
        found = {name: session.get(Repository, name) for name in service.cells}
    return {name: row.hinted_at for name, row in found.items() if row and row.hinted_at}


def sign(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def proof(kind: str, secret: str, body: bytes = BODY) -> dict[str, str]:
    """The header that such a forge sends."""
    if kind == "github":
        return {"X-Hub-Signature-256": f"sha256={sign(secret, body)}"}
    if kind == "gitlab":
        return {"X-Gitlab-Token": secret.encode().decode("latin-1")}  # as WSGI has it
    name = "X-Forgejo-Signature" if kind == "forgejo" else "X-Gitea-Signature"
    return {name: sign(secret, body)}


def send(
    client: FlaskClient, kind: str, headers: dict[str, str], body: bytes = BODY, **more: Any
) -> TestResponse:
    return client.post(f"/hooks/{kind}", data=body, headers=headers, **more)


def assert_refused(answer: TestResponse, status: int, code: str) -> None:
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    assert answer.get_json()["code"] == code


@pytest.mark.parametrize("cell", CELLS)
def test_whoever_knows_the_secret_has_its_cell_looked_at(
    client: FlaskClient, service: Service, cell: str
) -> None:
    kind, secret = CELLS[cell]
    answer = send(client, kind, proof(kind, secret), content_type="application/json")
    assert (answer.status_code, answer.data) == (204, b"")
    assert hints(service) == {cell: START}


def test_forgejo_may_use_its_own_header(client: FlaskClient, service: Service) -> None:
    assert send(client, "gitea", proof("forgejo", CELLS["tea"][1])).status_code == 204
    assert hints(service) == {"tea": START}


def test_signatures_are_as_the_forge_documents_them(client: FlaskClient, service: Service) -> None:
    """GitHub's own example, from "Validating webhook deliveries"."""
    body, secret = b"Hello, World!", "It's a Secret to Everybody"
    digest = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert sign(secret, body) == digest
    cells = {"hub": replace(service.cells["hub"], webhook_secret=lambda: secret)}
    client = create_app(replace(service, cells=cells)).test_client()
    headers = {"X-Hub-Signature-256": f"sha256={digest}"}
    assert send(client, "github", headers, body).status_code == 204


@pytest.mark.parametrize("body", [b"", b"\xff\x00", b"{" * 20_000, b"x" * MEBIBYTE])
@pytest.mark.parametrize("content", ["application/json", "application/x-www-form-urlencoded", None])
def test_whatever_the_body_is_it_is_no_more_than_a_hint(
    client: FlaskClient, service: Service, body: bytes, content: str | None
) -> None:
    headers = proof("github", CELLS["hub"][1], body)
    assert send(client, "github", headers, body, content_type=content).status_code == 204
    assert hints(service) == {"hub": START}


STRANGERS: dict[str, tuple[str, dict[str, str]]] = {
    "nothing": ("github", {}),
    "nothing, GitLab": ("gitlab", {}),
    "nothing, Gitea": ("gitea", {}),
    "empty": ("github", {"X-Hub-Signature-256": ""}),
    "no text": ("gitlab", {"X-Gitlab-Token": "\u00ff"}),
    "wrong secret": ("github", proof("github", "guessed")),
    "wrong secret, GitLab": ("gitlab", proof("gitlab", "guessed")),
    "wrong secret, Gitea": ("gitea", proof("gitea", "guessed")),
    "another body's": ("github", proof("github", CELLS["hub"][1], b"{}")),
    "another body's, Gitea": ("gitea", proof("gitea", CELLS["tea"][1], b"{}")),
    "without its prefix": ("github", {"X-Hub-Signature-256": sign(CELLS["hub"][1], BODY)}),
    "of SHA-1": ("github", {"X-Hub-Signature": f"sha1={sign(CELLS['hub'][1], BODY)}"}),
    "another forge's": ("gitea", proof("github", CELLS["tea"][1])),
    "another cell's": ("gitea", proof("gitea", CELLS["hub"][1])),
    "the secret itself": ("github", {"X-Hub-Signature-256": CELLS["hub"][1]}),
}


@pytest.mark.parametrize("who", STRANGERS)
def test_a_stranger_moves_nothing(client: FlaskClient, service: Service, who: str) -> None:
    answer = send(client, *STRANGERS[who])
    assert_refused(answer, 401, "unauthorized")
    assert answer.get_json()["detail"] == "The signature or token is missing or wrong."
    assert hints(service) == {}


@pytest.mark.parametrize("is_chunked", [False, True])
def test_more_than_a_mebibyte_is_refused(
    client: FlaskClient, service: Service, is_chunked: bool
) -> None:
    body = b"x" * (MEBIBYTE + 1)
    sent = {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""} if is_chunked else {}
    headers = proof("github", CELLS["hub"][1], body)
    answer = send(client, "github", headers, body, environ_overrides=sent)
    assert_refused(answer, 413, "too_large")
    assert answer.headers["Connection"] == "close"
    assert hints(service) == {}


def test_what_is_sent_again_and_again_is_one_more_look_in_a_moment(
    client: FlaskClient, service: Service, clock: Clock
) -> None:
    headers = proof("github", CELLS["hub"][1])
    for sent, due in ((0, 0), (0.3, 1), (0.4, 1), (0.9, 1), (1.2, 2), (3.5, 3.5), (4.5, 4.5)):
        clock.now = START + sent * APART
        assert send(client, "github", headers).status_code == 204
        assert hints(service) == {"hub": START + due * APART}


def test_a_clock_that_was_set_back_keeps_nobody_from_looking(
    client: FlaskClient, service: Service, clock: Clock
) -> None:
    headers = proof("github", CELLS["hub"][1])
    send(client, "github", headers)
    clock.now = START - timedelta(hours=1)
    send(client, "github", headers)
    assert hints(service) == {"hub": clock.now}


def test_how_the_repository_fares_stays(client: FlaskClient, service: Service) -> None:
    with service.database.write() as session:
        upsert(session, Repository, [{"cell": "hub", "attempts": 3, "head": "a" * 40}])
    send(client, "github", proof("github", CELLS["hub"][1]))
    with service.database.read() as session:
        row = session.get_one(Repository, "hub")
        assert (row.attempts, row.head, row.hinted_at) == (3, "a" * 40, START)


def test_cells_that_share_a_secret_are_all_looked_at(service: Service) -> None:
    one = service.cells["hub"]
    two = replace(service.cells["hub-two"], webhook_secret=one.webhook_secret)
    shared = replace(service, cells={"hub": one, "hub-two": two})
    send(create_app(shared).test_client(), "github", proof("github", CELLS["hub"][1]))
    assert set(hints(shared)) == {"hub", "hub-two"}


def test_a_secret_that_cannot_be_read_is_in_nobody_elses_way(service: Service) -> None:
    cannot = partial(settings.read_secret, Path("/nope"))
    cells = {**service.cells, "hub": replace(service.cells["hub"], webhook_secret=cannot)}
    client = create_app(replace(service, cells=cells)).test_client()
    with capture_logs() as entries:
        assert send(client, "github", proof("github", CELLS["hub-two"][1])).status_code == 204
        assert hints(service) == {"hub-two": START}
        assert_refused(send(client, "github", proof("github", CELLS["hub"][1])), 503, "unavailable")
    unread = [(each["cell"], each["detail"]) for each in entries if "no_secret" in each["event"]]
    # once a minute: anybody can bring it about
    assert unread == [("hub", "/nope: No such file or directory")]


def test_each_cell_whose_secret_cannot_be_read_is_told_of(service: Service, tmp_path: Path) -> None:
    cannot = partial(settings.read_secret, tmp_path / "nope")
    names = ["hub", "hub-two"]
    cells = {name: replace(service.cells[name], webhook_secret=cannot) for name in names}
    client = create_app(replace(service, cells=cells)).test_client()
    with capture_logs() as entries:
        send(client, "github", proof("github", CELLS["hub"][1]))
    unread = [each["cell"] for each in entries if each["event"] == "hook.no_secret"]
    assert unread == names


@pytest.mark.parametrize("kind", ["bitbucket", "GitHub", "none", "github/"])
def test_a_forge_that_nobody_has_is_not_there(client: FlaskClient, kind: str) -> None:
    assert_refused(send(client, kind, proof("github", CELLS["hub"][1])), 404, "not_found")


def test_without_a_secret_there_is_nothing(service: Service) -> None:
    alone = replace(service, cells={"plain": service.cells["plain"]})
    client = create_app(alone).test_client()
    assert_refused(send(client, "github", proof("github", "")), 404, "not_found")
    assert hints(alone) == {}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_post_is_taken(client: FlaskClient, method: str) -> None:
    answer = client.open("/hooks/github", method=method)
    assert_refused(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "OPTIONS, POST"


# Argo CD's notifications


@pytest.fixture
def followed(service: Service) -> Service:
    """Two of its cells take notifications; forges of theirs are told nothing by them."""
    tokens = {"plain": "of Argo CD", "hub": "of the other Argo CD"}
    cells = {
        name: replace(cell, notifications_token=partial(str, tokens[name]))
        if name in tokens
        else cell
        for name, cell in service.cells.items()
    }
    with service.database.write() as session:
        session.execute(delete(Watch))
    return replace(service, cells=cells)


def watches_hinted(service: Service) -> dict[str, datetime]:
    with service.database.read() as session:
        found = {name: session.get(Watch, name) for name in service.cells}
    return {name: row.hinted_at for name, row in found.items() if row and row.hinted_at}


@pytest.mark.parametrize("body", [b'{"application": "customer-x"}', b"", b"{" * 20_000])
def test_a_notification_has_the_cells_argo_cd_looked_at(followed: Service, body: bytes) -> None:
    client = create_app(followed).test_client()
    answer = send(client, "argocd", {"Authorization": "Bearer of Argo CD"}, body)
    assert (answer.status_code, answer.data) == (204, b"")
    assert watches_hinted(followed) == {"plain": START}
    assert hints(followed) == {}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer guessed"},
        {"Authorization": "of Argo CD"},
        {"Authorization": "Bearer \u00ff"},
        {"X-Gitlab-Token": "of Argo CD"},
        proof("github", CELLS["hub"][1]),
    ],
    ids=str,
)
def test_a_notification_without_the_token_moves_nothing(
    followed: Service, headers: dict[str, str]
) -> None:
    client = create_app(followed).test_client()
    assert_refused(send(client, "argocd", headers), 401, "unauthorized")
    assert watches_hinted(followed) == {}


def test_a_notification_is_bounded(followed: Service) -> None:
    client = create_app(followed).test_client()
    headers = {"Authorization": "Bearer of Argo CD"}
    assert_refused(send(client, "argocd", headers, b"x" * (MEBIBYTE + 1)), 413, "too_large")
    assert watches_hinted(followed) == {}


def test_without_a_token_nobody_is_notified(client: FlaskClient) -> None:
    headers = {"Authorization": "Bearer of Argo CD"}
    assert_refused(send(client, "argocd", headers), 404, "not_found")


def test_the_token_is_read_anew_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    cells: Any = {"main": {"argocd_notifications_token_file": file}}
    service = wiring.build(settings.load(data_dir=tmp_path / "data", cells=cells))
    client = create_app(service).test_client()
    for token in ("first", "second"):
        file.write_text(f"{token}\n")
        headers = {"Authorization": f"Bearer {token}"}
        assert send(client, "argocd", headers).status_code == 204
    assert_refused(send(client, "argocd", {"Authorization": "Bearer first"}), 401, "unauthorized")
    service.database.close()

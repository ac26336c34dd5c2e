"""The Argo CD client against recordings of a real one, and against neighbors that misbehave.

The server here is a fake; what it says in Argo CD's name was recorded.
"""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest

from tenantry.adapters.argocd import ArgoCD, announce_push
from tenantry.adapters.argocd.client import LIST_FIELDS
from tenantry.adapters.argocd.connection import LIMIT
from tenantry.adapters.argocd.webhook import build_push, sign_body, web_url
from tenantry.adapters.http import Timeouts, make_session
from tenantry.core.errors import (
    ArgoError,
    ArgoForbidden,
    ArgoTokenBad,
    ArgoUnreachable,
    SettingsError,
)
from tests.replay import Fake, Handler, Request, recording, replay, serve

TOKEN = "canary.token.of-argocd"
PATIENT = Timeouts(connect=5, read=5, total=20)
HASTY = Timeouts(connect=1, read=0.2, total=0.5)


@contextmanager
def argocd(
    *names: str, say: Callable[[Handler], None] | None = None, timeouts: Timeouts = PATIENT
) -> Iterator[tuple[ArgoCD, Fake]]:
    """A client, and the fake it talks to."""
    with serve(say or replay(*names)) as fake, make_session() as session:
        yield ArgoCD(fake.url, lambda: TOKEN, "tenants", session=session, timeouts=timeouts), fake


def asked_for(name: str) -> str:
    return str(recording(name)["request"]).partition("?")[0].rpartition("/")[2]


# One Application


@pytest.mark.parametrize(
    "name",
    ["get-healthy", "get-fresh", "get-b-badseal-40s", "get-b-plain-6min", "get-deletion-stuck"],
)
def test_get_reads_the_whole_application(name: str) -> None:
    with argocd(name) as (client, fake):
        found = client.get(asked_for(name))
    body = recording(name)["body"]
    assert found is not None
    assert (found.name, found.uid) == (body["metadata"]["name"], body["metadata"]["uid"])
    assert found.deleting == ("deletionTimestamp" in body["metadata"])
    assert found.revision == body["status"]["sync"].get("revision", "")
    assert len(found.resources) == len(body["status"].get("resources", []))
    assert len(found.conditions) == len(body["status"].get("conditions", []))
    assert fake.seen[0].query == {"project": ["tenants"]}
    assert fake.seen[0].headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    "name", ["get-missing-with-project-404", "get-bad-name", "get-deleting-Delete-false"]
)
def test_a_missing_application_is_none(name: str) -> None:
    with argocd(name) as (client, _):
        assert client.get(asked_for(name)) is None
        assert client.refresh(asked_for(name)).asked is False


@pytest.mark.parametrize(
    "name",
    [
        "get-missing-without-project-403",
        "get-missing-as-nobody",
        "get-existing-as-nobody-403",
        "get-existing-wrong-project",
    ],
)
def test_a_forbidden_application_is_not_a_missing_one(name: str) -> None:
    with argocd(name) as (client, _):
        for ask in (client.get, client.refresh):
            with pytest.raises(ArgoForbidden, match="permission denied"):
                ask(asked_for(name))


def test_a_name_is_one_part_of_the_path() -> None:
    with (
        argocd("get-healthy") as (client, fake),
        pytest.raises(ArgoError),
    ):
        client.get("../../session?x=/y")
    assert unquote(fake.seen[0].path) == "/api/v1/applications/../../session?x=/y"
    assert fake.seen[0].path.count("/") == 4


def test_another_application_than_the_one_asked_for_is_refused() -> None:
    body = json.dumps(recording("get-healthy")["body"]).encode()
    with (
        argocd(say=lambda handler: handler.answer(200, body)) as (client, _),
        pytest.raises(ArgoError, match="not the Application asked for"),
    ):
        client.get("customer-other")


# All Applications


@pytest.mark.parametrize("name", ["list-fields", "list-fields-mixed-states", "list-full"])
def test_list_reads_every_application(name: str) -> None:
    with argocd(name) as (client, fake):
        found = client.list()
    items = recording(name)["body"]["items"]
    assert [one.name for one in found] == [item["metadata"]["name"] for item in items]
    assert {one.health for one in found} <= {"Healthy", "Degraded", "Missing", "Progressing", ""}
    assert fake.seen[0].query == {"projects": ["tenants"], "fields": [LIST_FIELDS]}


def test_list_asks_for_fields_that_were_seen_to_come_back() -> None:
    # what is not on Argo CD's own list (health.status is not, health is) it drops without a word
    query = recording("list-fields-mixed-states")["request"].partition("?")[2]
    assert parse_qs(query)["fields"][0] == LIST_FIELDS
    items = recording("list-fields-mixed-states")["body"]["items"]
    with argocd("list-fields-mixed-states") as (client, _):
        for one, item in zip(client.list(), items, strict=True):
            assert one.health == item["status"]["health"]["status"] != ""
            assert one.sync == item["status"]["sync"]["status"] != ""


def test_an_account_without_rights_is_no_empty_fleet() -> None:
    denied = recording("can-i-get") | {"body": {"value": "no"}}
    replayed = replay("list-as-nobody")

    def say(handler: Handler) -> None:
        if "/can-i/" in handler.path:
            handler.answer(200, json.dumps(denied["body"]).encode())
        else:
            replayed(handler)

    with (
        argocd(say=say) as (client, fake),
        pytest.raises(ArgoForbidden, match="may not see any"),
    ):
        client.list()
    assert fake.seen[1].path == "/api/v1/account/can-i/applications/get/tenants/*"


def test_an_empty_fleet_is_empty_where_the_account_has_its_rights() -> None:
    with argocd("list-other-project-empty", "can-i-get") as (client, fake):
        assert client.list() == []
    assert len(fake.seen) == 2


@pytest.mark.parametrize(
    "name",
    [
        "list-bad-token-401",
        "list-expired-token-401",
        "list-no-token-401",
        "list-revoked-token-401",
        "list-tampered-signature-401",
    ],
)
def test_a_token_that_argo_cd_does_not_take(name: str) -> None:
    with argocd(name) as (client, _), pytest.raises(ArgoTokenBad) as caught:
        client.list()
    assert str(recording(name)["body"]["message"])[:40] in str(caught.value)
    assert TOKEN not in str(caught.value)


# The account


def test_the_account_is_asked_about_itself() -> None:
    with argocd("version", "userinfo-tenantry", "can-i-get", "can-i-sync") as (client, _):
        assert client.version() == "v3.5.1"
        assert client.logged_in() is True
        assert (client.may("get"), client.may("sync")) == (True, False)


@pytest.mark.parametrize("name", ["userinfo-bad-token", "userinfo-no-token"])
def test_a_200_without_login_is_no_login(name: str) -> None:
    with argocd(name) as (client, _):
        assert client.logged_in() is False


@pytest.mark.parametrize("token", ["", " \n", "a b", "a\nb", "ü", "a\0"])
def test_a_token_that_is_none_is_not_sent_and_not_shown(token: str) -> None:
    with argocd("version") as (client, fake):
        broken = ArgoCD(client.url, lambda: token, "tenants")
        with pytest.raises(ArgoTokenBad, match="no usable token"):
            broken.version()
    assert not fake.seen


def test_the_token_is_read_anew_and_its_line_end_dropped() -> None:
    tokens = iter(["first\n", "second"])
    with argocd("version") as (client, fake), make_session() as session:
        rotating = ArgoCD(client.url, lambda: next(tokens), "tenants", session=session)
        rotating.version()
        rotating.version()
    sent = [request.headers["authorization"] for request in fake.seen]
    assert sent == ["Bearer first", "Bearer second"]
    assert "first" not in repr(rotating)


# Refresh


@pytest.mark.parametrize("name", ["refresh-normal", "refresh-hard", "refresh-as-reader"])
def test_refresh_gives_the_application_as_compared_anew(name: str) -> None:
    with argocd(name) as (client, fake):
        refreshed = client.refresh(asked_for(name), hard=name == "refresh-hard")
    assert refreshed.asked
    assert refreshed.application is not None
    assert refreshed.application.name == asked_for(name)
    expected = "hard" if name == "refresh-hard" else "normal"
    assert fake.seen[0].query == {"project": ["tenants"], "refresh": [expected]}


def test_a_refresh_that_hangs_was_asked() -> None:
    with argocd(say=Handler.hang, timeouts=HASTY) as (client, _):
        refreshed = client.refresh("cust-a0002")
    assert refreshed.asked
    assert refreshed.application is None


# Neighbors that misbehave


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_nobody_there() -> None:
    with make_session() as session:
        client = ArgoCD(
            f"http://127.0.0.1:{closed_port()}", lambda: TOKEN, "tenants", session=session
        )
        for ask in (client.list, client.version, lambda: client.refresh("cust-a0002")):
            with pytest.raises(ArgoUnreachable, match="connection refused"):
                ask()


def drip(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    while not handler.fake.over.wait(0.02):
        handler.wfile.write(b" ")


@pytest.mark.parametrize("say", [Handler.hang, drip], ids=["hang", "drip"])
def test_an_answer_that_does_not_come_in_time(say: Callable[[Handler], None]) -> None:
    with (
        argocd(say=say, timeouts=HASTY) as (client, _),
        pytest.raises(ArgoUnreachable, match=r"no answer in time|takes too long"),
    ):
        client.get("cust-a0002")


HALF = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "data",
    [
        HALF + b'Content-Length: 9000\r\n\r\n{"metadata": {"na',
        HALF + b'Transfer-Encoding: chunked\r\n\r\n10\r\n{"metadata": {"n\r\n',
        HALF + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
    ],
    ids=["half a body", "half its chunks", "broken gzip"],
)
def test_an_answer_that_breaks_off_is_not_used(data: bytes) -> None:
    with (
        argocd(say=lambda handler: handler.send_raw(data)) as (client, _),
        pytest.raises(ArgoError, match="broke off") as caught,
    ):
        client.get("cust-a0002")
    assert not isinstance(caught.value, ArgoUnreachable)


@pytest.mark.parametrize("data", [b"", b"SSH-2.0-OpenSSH_9.2\r\n"], ids=["nothing", "not HTTP"])
def test_whoever_does_not_speak_http_is_not_argo_cd(data: bytes) -> None:
    with (
        argocd(say=lambda handler: handler.send_raw(data)) as (client, _),
        pytest.raises(ArgoUnreachable, match="no HTTP answer"),
    ):
        client.get("cust-a0002")


@pytest.mark.parametrize(
    "body",
    [
        b"<!doctype html><title>Sign in</title>", b"", b"[]", b"null", b'"ok"', b"\xff\xfe",
        b"[" * 100_000, b'{"items": 5}', b'{"metadata": {}}',
    ],
)  # fmt: skip
def test_rubbish_is_neither_a_missing_application_nor_an_empty_fleet(body: bytes) -> None:
    with argocd(say=lambda handler: handler.answer(200, body)) as (client, _):
        for ask in (client.list, lambda: client.get("cust-a0002"), client.version):
            with pytest.raises(ArgoError) as caught:
                ask()
            assert not isinstance(caught.value, ArgoUnreachable | ArgoTokenBad)


@pytest.mark.parametrize("name", ["unknown-path", "list-fields-parent-and-child"])
def test_errors_that_are_not_about_the_application(name: str) -> None:
    found = recording(name)
    body = found["body"] if isinstance(found["body"], str) else json.dumps(found["body"])
    with argocd(say=lambda handler: handler.answer(found["status"], body.encode())) as (client, _):
        for ask in (client.list, lambda: client.get("cust-a0002")):
            with pytest.raises(ArgoError, match=f"answered {found['status']}"):
                ask()


def test_a_404_of_somebody_else_is_no_missing_application() -> None:
    body = b'{"message": "no route", "code": 404}'
    with argocd(say=lambda handler: handler.answer(404, body)) as (client, _):
        for ask in (client.get, client.refresh):
            with pytest.raises(ArgoError, match="answered 404: no route"):
                ask("cust-a0002")


def test_an_oversized_answer_is_not_read_to_its_end() -> None:
    packed = gzip.compress(b" " * (LIMIT + 1))

    def say(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(packed)))
        handler.end_headers()
        handler.wfile.write(packed)

    with (
        argocd(say=say) as (client, _),
        pytest.raises(ArgoError, match="larger than"),
    ):
        client.get("cust-a0002")


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_proxy_that_says_later_is_heard(status: int) -> None:
    def say(handler: Handler) -> None:
        handler.send_response(status)
        handler.send_header("Retry-After", "7")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with (
        argocd(say=say) as (client, _),
        pytest.raises(ArgoUnreachable) as caught,
    ):
        client.get("cust-a0002")
    assert caught.value.retry_after == 7


def test_a_redirect_is_not_followed_and_the_token_goes_nowhere() -> None:
    with serve(replay("get-healthy")) as other:

        def say(handler: Handler) -> None:
            handler.send_response(302)
            handler.send_header("Location", other.url + handler.path)
            handler.send_header("Set-Cookie", "session=1")
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        with argocd(say=say) as (client, fake):
            for _ in range(2):
                with pytest.raises(ArgoError, match="answered 302"):
                    client.get("cust-a0002")
        assert not other.seen
        assert "cookie" not in fake.seen[1].headers


def test_the_environment_decides_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login thief password thief\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with argocd("version") as (client, fake):
        assert client.version() == "v3.5.1"
    assert fake.seen[0].headers["authorization"] == f"Bearer {TOKEN}"


# Announcing a push


def push(fake: Fake, secret: str = "s3cret") -> Request:
    with make_session() as session:
        announce_push(
            session,
            f"{fake.url}/api/webhook",
            secret,
            repository_url="https://git.example.com/acme/tenants.git",
            branch="main",
            before="a" * 40,
            after="b" * 40,
            paths=["tenants/0a/customer-bcdfghjkmn/tenant.json"],
        )
    return fake.seen[0]


@pytest.mark.parametrize("name", ["hook-appset-ok", "hook-appset-other-repo", "hook-server-ok"])
def test_a_push_is_announced_as_github_would(name: str) -> None:
    with serve(replay(name)) as fake:
        request = push(fake)
    assert request.headers["x-github-event"] == "push"
    assert request.headers["content-type"] == "application/json"
    event = json.loads(request.body)
    assert event["ref"] == "refs/heads/main"
    assert (event["before"], event["after"]) == ("a" * 40, "b" * 40)
    assert event["repository"]["html_url"] == "https://git.example.com/acme/tenants"
    assert event["commits"][0]["modified"] == ["tenants/0a/customer-bcdfghjkmn/tenant.json"]
    assert "s3cret" not in f"{request.body!r}{request.headers}"


def test_the_signature_is_the_documented_one() -> None:
    # the example of GitHub's documentation on validating deliveries
    assert sign_body("It's a Secret to Everybody", b"Hello, World!") == (
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    )


@pytest.mark.parametrize(
    "name",
    ["hook-appset-bad-signature", "hook-appset-no-signature", "hook-appset-no-event-header",
     "hook-server-bad-signature"],
)  # fmt: skip
def test_a_refused_announcement_says_why(name: str) -> None:
    with (
        serve(replay(name)) as fake,
        pytest.raises(ArgoError) as caught,
    ):
        push(fake)
    assert str(recording(name)["body"]).strip() in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_an_announcement_to_nobody() -> None:
    with serve(replay("hook-appset-ok")) as fake:
        pass
    with pytest.raises(ArgoUnreachable, match="connection refused"):
        push(fake)


@pytest.mark.parametrize(
    ("repository", "page"),
    [
        ("https://git.example.com/acme/tenants.git", "https://git.example.com/acme/tenants"),
        ("https://robot:pw@git.example.com/acme/tenants", "https://git.example.com/acme/tenants"),
        ("http://git.local:3000/acme/tenants.git/", "http://git.local:3000/acme/tenants"),
        ("ssh://git@git.example.com:22/acme/t.git", "https://git.example.com:22/acme/t"),
        ("git@git.example.com:acme/tenants.git", "https://git.example.com/acme/tenants"),
    ],
)
def test_the_page_of_a_repository(repository: str, page: str) -> None:
    assert web_url(repository) == page


@pytest.mark.parametrize("repository", ["file:///srv/tenants.git", "/srv/tenants", "", "https://x"])
def test_a_repository_that_no_push_can_name(repository: str) -> None:
    with pytest.raises(SettingsError):
        web_url(repository)


def test_a_bulk_push_names_a_bounded_number_of_paths() -> None:
    paths = [f"tenants/00/{number}" for number in range(100_000)]
    event = build_push("https://git.example.com/a/b", "main", "a", "b", paths)
    assert len(json.dumps(event)) < 100_000

"""The stream of Applications, what is asked of one, and neighbors that misbehave while they do.

The server is a fake.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pytest

from tenantry.adapters.argocd import ArgoCD, Gone, ListedApplication
from tenantry.adapters.argocd.stream import FIELDS, LINE_LIMIT
from tenantry.adapters.http import Timeouts, make_session
from tenantry.core.errors import ArgoError, ArgoForbidden, ArgoUnreachable
from tenantry.core.live import Node, parse_events, parse_tree
from tests.replay import Fake, Handler, serve

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
PATIENT = Timeouts(connect=5, read=5, total=20)
HASTY = Timeouts(connect=1, read=0.2, total=0.5)


@contextmanager
def argocd(
    say: Callable[[Handler], None], timeouts: Timeouts = PATIENT
) -> Iterator[tuple[ArgoCD, Fake]]:
    with serve(say) as fake, make_session() as session:
        token = "canary.token"
        yield ArgoCD(fake.url, lambda: token, "tenants", session=session, timeouts=timeouts), fake


def event(kind: str, name: str, **status: Any) -> bytes:
    application = {"metadata": {"name": name}, "status": status}
    message = {"result": {"type": kind, "application": application}}
    return b"data: " + json.dumps(message).encode() + b"\n\n\n"


def sending(*parts: bytes, then: Callable[[Handler], None] | None = None) -> Any:
    """Says these parts, and then nothing, or what `then` does."""

    def say(handler: Handler) -> None:
        handler.send_raw(HEAD + b"\r\n" + b"".join(parts))
        handler.wfile.flush()
        if then:
            then(handler)

    return say


# The stream


def test_it_tells_what_arrives() -> None:
    sent = (
        event("ADDED", "customer-a", health={"status": "Missing"}, sync={"status": "OutOfSync"}),
        b":\n\n",
        event("DELETED", "customer-a"),
        b'data: {"result": {}}\n\n',
    )
    with argocd(sending(*sent)) as (client, fake):
        arrived = list(client.stream(threading.Event()))
    first, *rest = arrived
    assert isinstance(first, ListedApplication)
    assert (first.name, first.health, first.sync) == ("customer-a", "Missing", "OutOfSync")
    assert rest == [None, Gone("customer-a"), None]
    request = fake.seen[0]
    assert request.query == {"projects": ["tenants"], "fields": [FIELDS]}
    assert request.headers["accept"] == "text/event-stream"
    assert request.headers["authorization"] == "Bearer canary.token"
    assert "resourceVersion" not in FIELDS


def test_it_is_read_as_it_comes_also_in_chunks() -> None:
    data = event("MODIFIED", "customer-a")

    def say(handler: Handler) -> None:
        handler.wfile.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for part in (data[:9], data[9:]):
            handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        handler.hang()

    with argocd(say) as (client, _):
        (first,) = islice(client.stream(threading.Event()), 1)
    assert isinstance(first, ListedApplication)


@pytest.mark.parametrize("headers", [b"", b"Connection: close\r\n", None], ids=str)
def test_it_ends_with_stop_whatever_it_waits_for(headers: bytes | None) -> None:
    asked, stop = threading.Event(), threading.Event()

    def say(handler: Handler) -> None:
        if headers is not None:
            handler.wfile.write(HEAD + headers + b"\r\n:\n\n")
        asked.set()
        handler.hang()

    arrived: list[Any] = []
    with argocd(say) as (client, _):
        reader = threading.Thread(target=lambda: arrived.extend(client.stream(stop)))
        reader.start()
        asked.wait()
        stop.set()
        reader.join(timeout=20)  # less than the silence that would end it too
        assert not reader.is_alive()
    assert set(arrived) <= {None}


@pytest.mark.parametrize("start", [b"", HEAD + b"\r\n:\n\n"], ids=["no headers", "then nothing"])
def test_silence_is_no_stream(start: bytes) -> None:
    def say(handler: Handler) -> None:
        handler.wfile.write(start)
        handler.hang()

    with (
        argocd(say) as (client, _),
        pytest.raises(ArgoUnreachable, match="no sign of life"),
    ):
        list(client.stream(threading.Event(), silence=0.2))


def test_who_no_longer_reads_leaves_no_thread_behind() -> None:
    def say(handler: Handler) -> None:
        handler.wfile.write(HEAD + b"\r\n:\n\n")
        handler.hang()

    with argocd(say) as (client, _):
        stream = client.stream(threading.Event())
        assert next(stream) is None
        stream.close()  # type: ignore[attr-defined]
        assert not [one for one in threading.enumerate() if one.name == "argocd-stream-stop"]


ERROR = b'data: {"error": {"grpc_code": %d, "http_code": %d, "message": "%s"}}\n\n'


@pytest.mark.parametrize(
    ("sent", "error", "says"),
    [
        (ERROR % (7, 403, b"permission denied"), ArgoForbidden, "permission denied"),
        (ERROR % (14, 503, b"going away"), ArgoUnreachable, "going away"),
        (ERROR % (2, 200, b"odd"), ArgoError, "odd"),
        (b'data: {"error": {"message": "short"}}\n', ArgoError, "short"),
        (b"<!doctype html><title>Sign in</title>\n", ArgoError, "stream is none"),
        (b"data: <html>\n", ArgoError, "not JSON"),
        (b"data: []\n", ArgoError, "not a JSON object"),
        (b"data: " + b" " * LINE_LIMIT + b"{}\n", ArgoError, "larger than"),
    ],
    ids=["right", "proxy", "odd error", "short error", "HTML", "no JSON", "list", "huge"],
)
def test_what_is_wrong_within_it_is_told(sent: bytes, error: type[ArgoError], says: str) -> None:
    with argocd(sending(sent)) as (client, _), pytest.raises(ArgoError) as caught:
        list(client.stream(threading.Event()))
    assert type(caught.value) is error
    assert says in str(caught.value)


def test_nobody_there_and_no_http() -> None:
    with (
        argocd(lambda handler: handler.send_raw(b"SSH-2.0\r\n")) as (client, _),
        pytest.raises(ArgoUnreachable, match="broke off"),
    ):
        list(client.stream(threading.Event()))
    with pytest.raises(ArgoUnreachable, match="connection refused"):
        list(client.stream(threading.Event()))


# What is asked of one Application


def answering(status: int, body: Any) -> Callable[[Handler], None]:
    return lambda handler: handler.answer(status, json.dumps(body).encode())


def test_a_sync_prunes_and_neither_replaces_nor_forces() -> None:
    with argocd(answering(200, {"metadata": {"name": "customer-a"}})) as (client, fake):
        assert client.sync("customer-a") is True
    (request,) = fake.seen
    assert (request.method, request.path) == ("POST", "/api/v1/applications/customer-a/sync")
    assert request.headers["content-type"] == "application/json"
    sent = json.loads(request.body)
    assert sent == {"name": "customer-a", "project": "tenants", "prune": True}


def test_a_sync_that_is_under_way_was_asked() -> None:
    body = {"code": 9, "message": "another operation is already in progress"}
    with argocd(answering(400, body)) as (client, _):
        assert client.sync("customer-a") is True


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        (400, {"code": 9, "message": "application is deleting"}, ArgoError, "is deleting"),
        (403, {"code": 7, "message": "cannot sync: blocked by sync window"}, ArgoError, "wait"),
        (403, {"code": 7, "message": "permission denied"}, ArgoForbidden, "sync, tenants/*"),
    ],
)
def test_a_sync_that_is_refused_says_why(
    status: int, body: Any, error: type[ArgoError], says: str
) -> None:
    with argocd(answering(status, body)) as (client, _), pytest.raises(ArgoError) as caught:
        client.sync("customer-a")
    assert type(caught.value) is error
    assert says in str(caught.value)


def test_the_events_of_a_node_are_asked_for_by_all_its_names() -> None:
    node = Node("Pod", "", "customer-a", "app-1", "some-uid")
    with argocd(answering(200, {"items": None})) as (client, fake):
        assert client.events("customer-a", node=node) == ()
    assert fake.seen[0].query == {
        "project": ["tenants"],
        "resourceUID": ["some-uid"],
        "resourceNamespace": ["customer-a"],
        "resourceName": ["app-1"],
    }


def test_a_sync_window_that_is_closed() -> None:
    with argocd(answering(200, {"canSync": False})) as (client, _):
        assert client.may_sync_now("customer-a") is False


def test_sets_that_may_not_be_seen_are_not_no_sets() -> None:
    def say(handler: Handler) -> None:
        body = {"value": "no"} if "/can-i/" in handler.path else {"items": None}
        answering(200, body)(handler)

    with (
        argocd(say) as (client, fake),
        pytest.raises(ArgoForbidden, match=r"allow it `applicationsets, get, tenants/\*`"),
    ):
        client.sets()
    assert fake.seen[1].path == "/api/v1/account/can-i/applicationsets/get/tenants/*"


ASKED: dict[str, Callable[[ArgoCD], object]] = {
    "sync": lambda client: client.sync("customer-a"),
    "delete": lambda client: client.delete("customer-a"),
    "tree": lambda client: client.tree("customer-a"),
    "events": lambda client: client.events("customer-a"),
    "windows": lambda client: client.may_sync_now("customer-a"),
    "sets": lambda client: client.sets(),
    "stream": lambda client: list(client.stream(threading.Event(), silence=0.2)),
}
HALF = b'HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n{"items": ['


def redirect(handler: Handler) -> None:
    handler.send_raw(b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n")


def huge(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
    while not handler.fake.over.is_set():
        handler.wfile.write(b" " * 1_000_000)


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize(
    ("say", "says"),
    [
        (Handler.hang, "in time"),
        (lambda handler: handler.send_raw(HALF), "broke off|is none"),
        (redirect, "answered 302"),
        (huge, "larger than"),
    ],
    ids=["hang", "half", "redirect", "huge"],
)
def test_a_neighbor_that_misbehaves(
    ask: Callable[[ArgoCD], object], say: Callable[[Handler], None], says: str
) -> None:
    timeouts = HASTY if say is Handler.hang else PATIENT
    with argocd(say, timeouts) as (client, _), pytest.raises(ArgoError, match=says):
        ask(client)


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_a_page_is_no_answer(ask: Callable[[ArgoCD], object]) -> None:
    with (
        argocd(lambda handler: handler.answer(200, b"<html>Sign in</html>")) as (client, _),
        pytest.raises(ArgoError, match="a page in front of it"),
    ):
        ask(client)


# Reading what lives


@pytest.mark.parametrize("body", [{}, {"nodes": None, "items": 5}, {"nodes": [1], "items": ["a"]}])
def test_what_is_not_there_is_nothing(body: Any) -> None:
    assert (parse_tree(body), parse_events(body)) == ((), ())


def test_a_node_knows_who_made_it() -> None:
    made = {"kind": "Pod", "uid": "p", "parentRefs": [{"kind": "ReplicaSet", "uid": "r"}]}
    (node,) = parse_tree({"nodes": [made], "orphanedNodes": [{"kind": "Pod", "uid": "o"}]})
    assert (node.uid, node.parents, node.created_at) == ("p", ("r",), None)


def test_an_event_of_the_newer_kind_counts_in_its_series() -> None:
    series = {"count": 7, "lastObservedTime": "2026-11-22T17:13:25.5Z"}
    old = {"lastTimestamp": "2026-11-22T17:13:20Z", "count": 3, "type": "Warning"}
    newer, older, bare = parse_events({"items": [{"series": series}, old, {}]})
    assert (newer.count, newer.last_seen and newer.last_seen.second) == (7, 25)
    assert (older.count, older.last_seen and older.last_seen.second) == (3, 20)
    assert (older.is_warning, bare.is_warning, bare.count, bare.last_seen) == (True, False, 1, None)

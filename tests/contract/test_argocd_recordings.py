"""What the client makes of every recorded answer of a real Argo CD.

The tables say it in words; a recording that is in none of them fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest

from tenantry.adapters.argocd import ArgoCD, Gone, ListedApplication, announce_push
from tenantry.adapters.http import make_session
from tenantry.core.application import Application
from tenantry.core.application_set import parse_set
from tenantry.core.errors import ArgoError, ArgoForbidden, ArgoTokenBad
from tests.replay import RECORDINGS, Fake, Handler, recording, serve

OK = "Healthy/Synced/Succeeded"

# name: health/sync/phase and what else is told
APPLICATIONS = {
    "get-b-badseal-120s": "Degraded/Synced/Succeeded SealedSecret Degraded",
    "get-b-badseal-40s": "Degraded/Synced/Succeeded SealedSecret Degraded",
    "get-b-badseal-6s": "Degraded/Synced/Succeeded SealedSecret Degraded",
    "get-b-broken-120s": "Healthy/Unknown/ ComparisonError",
    "get-b-broken-40s": "Healthy/Unknown/ ComparisonError",
    "get-b-broken-6min": "Healthy/Unknown/ ComparisonError",
    "get-b-broken-6s": "Healthy/Unknown/ ComparisonError",
    "get-b-good-120s": OK,
    "get-b-good-40s": OK,
    "get-b-good-6s": "Healthy/OutOfSync/Running asked",
    "get-b-invalid-120s": "Healthy/OutOfSync/Running retrying asked Service Bad_Name SyncFailed",
    "get-b-invalid-40s": "Healthy/OutOfSync/Running retrying asked Service Bad_Name SyncFailed",
    "get-b-invalid-6min": "Healthy/OutOfSync/Running retrying asked Service Bad_Name SyncFailed",
    "get-b-invalid-6s": "Healthy/OutOfSync/Running asked",
    "get-b-plain-120s": "Missing/OutOfSync/Running retrying asked Secret oops SyncFailed",
    "get-b-plain-40s": "Missing/OutOfSync/Running retrying asked Secret oops SyncFailed",
    "get-b-plain-6min": "Missing/OutOfSync/Failed retrying SyncError Secret oops SyncFailed",
    "get-b-plain-6s": "Missing/OutOfSync/Running retrying asked Secret oops SyncFailed",
    "get-b-quota-120s": "Progressing/Synced/Succeeded",
    "get-b-quota-15min": "Degraded/Synced/Succeeded Deployment Degraded",
    "get-b-quota-40s": "Progressing/Synced/Succeeded",
    "get-b-quota-6min": "Progressing/Synced/Succeeded",
    "get-b-quota-6s": "Healthy/OutOfSync/Running asked",
    "get-b-stuck-120s": "Degraded/Synced/Succeeded Deployment Degraded",
    "get-b-stuck-40s": "Degraded/Synced/Succeeded Deployment Degraded",
    "get-b-stuck-6s": "Healthy/OutOfSync/Running asked",
    "get-b-zero-120s": OK,
    "get-b-zero-40s": OK,
    "get-b-zero-6s": "Healthy/OutOfSync/Running asked",
    "get-deleting-Delete-confirm": "Healthy/Synced/Succeeded deleting",
    "get-deleting-b-badseal": "Degraded/Synced/Succeeded deleting SealedSecret Degraded",
    "get-deleting-b-broken": "Healthy/Unknown/ deleting ComparisonError",
    "get-deleting-b-plain": (
        "Missing/OutOfSync/Failed deleting retrying SyncError Secret oops SyncFailed"
    ),
    "get-deleting-w0008": "Healthy/Unknown/Succeeded deleting ComparisonError",
    "get-deletion-stuck": "Healthy/Synced/Succeeded deleting",
    "get-directory-removed": "Healthy/Unknown/Succeeded ComparisonError",
    "get-existing-without-project-200": OK,
    "get-fresh": "//",
    "get-healthy-fields-ignored": OK,
    "get-healthy": OK,
    "refresh-as-reader": OK,
    "refresh-hard": OK,
    "refresh-normal": OK,
}
MISSING = {"get-bad-name", "get-deleting-Delete-false", "get-missing-with-project-404"}

DELETE = "`applications, delete, tenants/*`"
GET = "`applications, get, tenants/*`"
SYNC = "`applications, sync, tenants/*`"

# name: method, the error, what it says
REFUSED: dict[str, tuple[str, type[ArgoError], str]] = {
    "delete-as-reader-403": ("delete", ArgoForbidden, DELETE),
    "delete-missing-without-project": ("delete", ArgoForbidden, DELETE),
    "delete-without-content-type": ("delete", ArgoError, "415: Invalid content type"),
    "get-existing-as-nobody-403": ("get", ArgoForbidden, GET),
    "get-existing-wrong-project": ("get", ArgoForbidden, GET),
    "get-missing-as-nobody": ("get", ArgoForbidden, GET),
    "get-missing-without-project-403": ("get", ArgoForbidden, GET),
    "get-two-projects-400": ("get", ArgoError, "answered 400"),
    "list-bad-token-401": ("list", ArgoTokenBad, "token is malformed"),
    "list-expired-token-401": ("list", ArgoTokenBad, "token is expired"),
    "list-no-token-401": ("list", ArgoTokenBad, "no session information"),
    "list-revoked-token-401": ("list", ArgoTokenBad, "new token"),
    "list-tampered-signature-401": ("list", ArgoTokenBad, "signature is invalid"),
    "list-fields-parent-and-child": ("list", ArgoError, "answered 500"),
    "projects-forbidden": ("get", ArgoForbidden, "`projects, get, tenants`"),
    "sync-not-allowed-403": ("sync", ArgoForbidden, SYNC),
    "sync-wrong-content-type-415": ("sync", ArgoError, "415: Invalid content type"),
    "stream-bad-token": ("stream", ArgoTokenBad, "token is malformed"),
    "healthz": ("version", ArgoError, "is not JSON"),
    "unknown-path": ("list", ArgoError, "answered 404: Not Found"),
}  # fmt: skip

# name: method, its arguments beside the recorded name, what it gives
GIVEN: dict[str, tuple[str, tuple[str, ...], object]] = {
    "can-i-delete": ("may", ("delete",), True),
    "can-i-delete-reader": ("may", ("delete",), False),
    "can-i-get": ("may", ("get",), True),
    "can-i-sync": ("may", ("sync",), False),
    "delete-again-after-404": ("delete", ("cust-w0008",), False),
    "delete-again-while-deleting": ("delete", ("cust-w0008",), True),
    "delete-dir-still-in-git": ("delete", ("cust-w0009",), True),
    "delete-missing-404": ("delete", ("cust-nosuch",), False),
    "delete-ok": ("delete", ("cust-w0008",), True),
    "resource-tree-missing-app": ("tree", ("cust-nosuch",), ()),
    "syncwindows": ("may_sync_now", ("cust-a0002",), True),
    "userinfo-bad-token": ("logged_in", (), False),
    "userinfo-no-token": ("logged_in", (), False),
    "userinfo-tenantry": ("logged_in", (), True),
    "version": ("version", (), "v3.5.1"),
    "applicationset-list": ("sets", (), ()),
}

LISTS = {  # name: how many Applications
    "list-as-nobody": 0,
    "list-by-missing-name": 0,
    "list-by-name": 1,
    "list-fields": 30,
    "list-fields-mixed-states": 10,
    "list-fields-unknown-path": 30,
    "list-full": 6,
    "list-other-project-empty": 0,
    "list-selector": 30,
}

TREES = {  # name: the objects that are not well
    "resource-tree": [],
    "resource-tree-b-badseal": ["SealedSecret app-secrets Degraded: no key could decrypt secret"],
    "resource-tree-b-quota": [],
    "resource-tree-b-stuck": [
        'Deployment app Degraded: Deployment "app" exceeded its progress deadline'
    ],
    "resource-tree-deletion-stuck": [],
}

HOOKS = {  # name: what is said where it is refused
    "hook-appset-ok": "",
    "hook-appset-other-repo": "",
    "hook-appset-ping-event": "",
    "hook-server-ok": "",
    "hook-appset-bad-signature": "HMAC verification failed",
    "hook-appset-no-event-header": "Unknown webhook event",
    "hook-appset-no-signature": "missing X-Hub-Signature-256",
    "hook-server-bad-signature": "Webhook processing failed",
}

SETS = {"applicationset", "applicationset-dir-removed", "applicationset-with-broken-tenant"}
STREAMS = {"stream-new-tenant-sse": None, "stream-new-tenant-fields": ArgoError,
           "stream-new-tenant-full": ArgoError}  # fmt: skip

# Not one answer each: what was measured over time, manifests, and what the files are.
NO_ANSWERS = {
    "README", "deletion-sequences", "sealedsecret-ok", "sealedsecret-wrong-name",
    "timeline-first-tenant", "timelines-failure-states", "timelines-webhook-tenants",
}  # fmt: skip


@pytest.fixture(scope="module")
def fake() -> Iterator[Fake]:
    with serve(lambda _: None) as fake:
        yield fake


@pytest.fixture(scope="module")
def client(fake: Fake) -> Iterator[ArgoCD]:
    with make_session() as session:
        yield ArgoCD(fake.url, lambda: "canary.token", "tenants", session=session)


@pytest.fixture
def answer(fake: Fake) -> Callable[[str], None]:
    """Make the fake give a recorded answer, and a yes to who asks for the account's rights."""

    def record(name: str) -> None:
        found = recording(name)
        body = found["body"]
        data = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
        fake.seen.clear()

        def say(handler: Handler) -> None:
            if "/can-i/" in handler.path and "can-i" not in name:
                handler.answer(200, b'{"value": "yes"}')
            else:
                handler.answer(found["status"], data.encode(), found["content_type"] or "")

        fake.say = say

    return record


def target(name: str) -> tuple[str, str]:
    """Method and path that were recorded."""
    method, _, rest = str(recording(name)["request"]).partition(" ")
    return method, "/" + rest.partition("/")[2].partition("?")[0]


def application_of(name: str) -> str:
    return target(name)[1].removeprefix("/api/v1/applications/").partition("/")[0]


def in_words(app: Application | None) -> str:
    assert app is not None
    flags = {
        "deleting": app.deleting,
        "retrying": app.retry_count > 0,
        "asked": app.operation_requested,
    }
    words = [f"{app.health}/{app.sync}/{app.phase}"]
    words += [flag for flag, is_set in flags.items() if is_set]
    words += [kind for kind, _ in app.conditions]
    words += [f"{one.kind} {one.name} {one.status}" for one in app.applied]
    words += [f"{one.kind} {one.health}" for one in app.resources if one.health == "Degraded"]
    return " ".join(words)


def test_every_recording_is_in_one_table() -> None:
    tables = (
        APPLICATIONS, MISSING, REFUSED, GIVEN, LISTS, TREES, HOOKS, SETS, STREAMS,
        {"events"}, NO_ANSWERS,
    )  # fmt: skip
    known = [name for table in tables for name in table]
    assert sorted(known) == sorted({file.stem for file in RECORDINGS.iterdir()})


@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_application(client: ArgoCD, answer: Callable[[str], None], name: str) -> None:
    answer(name)
    found = client.get(application_of(name))
    assert in_words(found) == APPLICATIONS[name]


@pytest.mark.parametrize("name", sorted(MISSING))
def test_no_application(client: ArgoCD, answer: Callable[[str], None], name: str) -> None:
    answer(name)
    name = application_of(name)
    assert client.get(name) is None
    assert client.sync(name) is False
    assert (client.tree(name), client.events(name)) == ((), ())


def call(client: ArgoCD, method: str, *arguments: str) -> Any:
    if method == "stream":
        return list(client.stream(Event()))
    return getattr(client, method)(*arguments)


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal(client: ArgoCD, answer: Callable[[str], None], name: str) -> None:
    method, error, says = REFUSED[name]
    answer(name)
    arguments = ["cust-a0002"] if method in ("get", "sync", "delete") else []
    with pytest.raises(ArgoError) as caught:
        call(client, method, *arguments)
    assert type(caught.value) is error
    assert says in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_given(
    client: ArgoCD, fake: Fake, answer: Callable[[str], None], name: str
) -> None:
    method, arguments, expected = GIVEN[name]
    answer(name)
    assert call(client, method, *arguments) == expected
    assert (fake.seen[0].method, fake.seen[0].path) == target(name)


@pytest.mark.parametrize("name", LISTS)
def test_a_list(client: ArgoCD, answer: Callable[[str], None], name: str) -> None:
    answer(name)
    found = client.list()
    assert len(found) == LISTS[name]
    assert all(line.name.startswith("cust-") for line in found)


@pytest.mark.parametrize("name", TREES)
def test_a_tree(client: ArgoCD, fake: Fake, answer: Callable[[str], None], name: str) -> None:
    answer(name)
    nodes = client.tree(application_of(name))
    assert (fake.seen[0].method, fake.seen[0].path) == target(name)
    assert len(nodes) == len(recording(name)["body"]["nodes"]) > 5
    assert all(node.uid and node.kind and node.name and node.created_at for node in nodes)
    unwell = [node for node in nodes if node.health == "Degraded"]
    told = [f"{node.kind} {node.name} {node.health}: {node.message}" for node in unwell]
    assert [text.partition(" (")[0] for text in told] == TREES[name]


def test_events(client: ArgoCD, fake: Fake, answer: Callable[[str], None]) -> None:
    answer("events")
    found = client.events("cust-a0002")
    assert (fake.seen[0].method, fake.seen[0].path) == target("events")
    first, *others = found
    assert len(found) == len(recording("events")["body"]["items"])
    assert (first.kind, first.name, first.reason) == (
        "Application",
        "cust-a0002",
        "OperationStarted",
    )
    assert first.last_seen is not None
    assert first.last_seen.isoformat() == "2026-11-22T17:13:25+00:00"
    assert (first.count, first.is_warning) == (1, False)
    assert {other.uid for other in others} == {first.uid}


@pytest.mark.parametrize("name", sorted(SETS))
def test_a_set(client: ArgoCD, fake: Fake, name: str) -> None:
    body = json.dumps({"items": [recording(name)["body"]]}).encode()
    fake.say = lambda handler: handler.answer(200, body)
    (found,) = client.sets()
    # a broken tenant is no error of its set
    assert (found.name, found.errors, found.paths) == ("tenants", (), ("tenants/*/*",))


def test_a_set_that_cannot_make_its_applications_says_why() -> None:
    body = recording("applicationset")["body"]
    condition = body["status"]["conditions"][0]
    condition |= {"status": "True", "message": "invalid Unicode character escape code"}
    assert parse_set(body).errors == ("invalid Unicode character escape code",)


@pytest.mark.parametrize("name", HOOKS)
def test_a_push(fake: Fake, answer: Callable[[str], None], name: str) -> None:
    def push() -> None:
        with make_session() as session:
            announce_push(
                session, fake.url + target(name)[1], "s3cret", branch="main", before="a" * 40,
                repository_url="https://git.example.com/a/b", after="b" * 40, paths=["c"],
            )  # fmt: skip

    answer(name)
    if not HOOKS[name]:
        push()
    else:
        with pytest.raises(ArgoError, match=HOOKS[name]):
            push()
    assert (fake.seen[0].method, fake.seen[0].path) == target(name)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream(client: ArgoCD, fake: Fake, name: str) -> None:
    recorded = (RECORDINGS / f"{name}.txt").read_text("utf-8").splitlines()
    lines = [line.partition("s ")[2] for line in recorded]
    fake.say = lambda handler: handler.send_raw(
        ("HTTP/1.1 200 OK\r\n\r\n" + "\n".join(lines) + "\n").encode()
    )
    if STREAMS[name]:  # lines of JSON have no keep-alive, so they are not what was asked for
        with pytest.raises(ArgoError, match="stream is none"):
            list(client.stream(Event()))
        return
    arrived = [each for each in client.stream(Event()) if each]
    assert len(arrived) == sum(line.startswith("data:") for line in lines) > 5
    assert not any(isinstance(each, Gone) for each in arrived)
    last = arrived[-1]
    assert isinstance(last, ListedApplication)
    assert (last.name, last.health, last.sync) == ("cust-a0002", "Healthy", "Synced")

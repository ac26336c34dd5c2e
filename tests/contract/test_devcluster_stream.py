"""The stand-in's stream of Applications, its page, its CLI, and its small parts."""

from __future__ import annotations

import base64
import ctypes
import hashlib
import json
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import click.testing
import pytest
import requests

from tenantry.cli.devcluster import dev
from tenantry.devcluster import gotemplate, quota
from tenantry.devcluster.gateway import host_of
from tests.contract import devcluster_kit
from tests.contract.devcluster_kit import (
    TOKENS,
    WEBHOOK_SECRET,
    World,
    eventually,
    tenant_json,
)

keys, world = devcluster_kit.keys, devcluster_kit.world  # fixtures

RECORDINGS = Path(__file__).parent.parent / "data" / "argocd"
FIELDS = (
    "result.type,result.application.metadata.name,result.application.status.health,"
    "result.application.status.sync.status,result.application.status.sync.revision,"
    "result.application.status.operationState.phase,"
    "result.application.status.operationState.finishedAt,"
    "result.application.status.operationState.syncResult.revision,"
    "result.application.status.reconciledAt"
)


@contextmanager
def listening(world: World, query: str = "", **options: Any) -> Iterator[list[str]]:
    """The lines of a stream, as they arrive."""
    lines: list[str] = []
    assert world.stand_in is not None
    url = f"http://127.0.0.1:{world.stand_in.port}/api/v1/stream/applications{query}"
    account = options.pop("account", "tenantry")
    headers = {"Authorization": f"Bearer {TOKENS[account]}", **options.pop("headers", {})}
    session = requests.Session()
    stop = threading.Event()

    def read() -> None:
        try:
            with session.get(url, headers=headers, stream=True, timeout=(5, 0.5)) as answer:
                lines.append(f"HTTP {answer.status_code}")
                for line in answer.iter_lines(chunk_size=1):
                    lines.append(line.decode())
                    if stop.is_set():
                        return
        except requests.RequestException:
            return

    thread = threading.Thread(target=read)
    thread.start()
    with closing(session):
        yield lines
        stop.set()
        thread.join()


def follow(world: World, query: str, **headers: str) -> Iterator[str]:
    """Lines of a stream until the caller has enough."""
    answer = world.get(f"/api/v1/stream/applications{query}", headers=headers, stream=True)
    with closing(answer):
        for line in answer.iter_lines(chunk_size=1):
            yield line.decode()


def until_ready(lines: Iterator[str]) -> list[dict[str, Any]]:
    """Messages up to the one that says a tenant is ready."""
    found = []
    for line in lines:
        if line:
            message = json.loads(line.removeprefix("data: "))
            found.append(message)
            status = message["result"]["application"]["status"]
            operation = status.get("operationState", {})
            done = operation.get("finishedAt", "z") <= status.get("reconciledAt", "")
            healthy = status["health"].get("status") == "Healthy"
            if done and healthy and status["sync"]["status"] == "Synced":
                return found
    raise AssertionError("the stream ended early")


def test_stream_tells_of_a_new_tenant_in_the_recorded_shape(world: World) -> None:
    world.start()
    world.push_tenant("alpha")
    world.await_ready("alpha")
    lines = follow(world, f"?fields={FIELDS}")
    first = json.loads(next(lines))
    assert first["result"]["type"] == "ADDED"
    assert first["result"]["application"]["metadata"] == {"name": "customer-alpha"}
    world.push_tenant("beta")
    seen = until_ready(one for one in lines if "customer-beta" in one)
    theirs = [
        json.loads(line[line.index("{") :])
        for line in (RECORDINGS / "stream-new-tenant-fields.txt").read_text().splitlines()
    ]
    assert _members(seen[0]) == _members(theirs[1]) - {
        "result.application.metadata.resourceVersion"
    }
    assert _members(seen[-1]) == _members(theirs[-1]) - {
        "result.application.metadata.resourceVersion"
    }
    texts = [json.dumps(one) for one in seen]
    assert all(one != two for one, two in pairwise(texts))  # no empty news


def test_write_that_changes_nothing_of_what_was_asked_for_is_no_event(world: World) -> None:
    world.start()
    world.push_tenant("alpha")
    world.await_ready("alpha")
    lines = follow(world, "?fields=result.application.metadata.name")
    assert "customer-alpha" in next(lines)
    world.push_tenant("beta")
    world.await_ready("beta")
    world.push_tenant("gamma")
    assert "customer-beta" in next(lines)
    assert "customer-gamma" in next(lines)


def _members(value: Any, at: str = "") -> set[str]:
    if not isinstance(value, dict):
        return {at}
    if not value:
        return {at}
    return {
        one
        for name, member in value.items()
        for one in _members(member, f"{at}.{name}".lstrip("."))
    }


def test_server_sent_events_are_framed_as_recorded(world: World) -> None:
    world.start()
    world.push_tenant("alpha")
    world.await_ready("alpha")
    path = "/api/v1/stream/applications?name=customer-alpha"
    with closing(world.get(path, headers={"Accept": "text/event-stream"}, stream=True)) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        lines = answer.iter_lines(chunk_size=1)
        assert next(lines).startswith(b'data: {"result":{"type":"ADDED","application":{"metadata"')
        assert (next(lines), next(lines)) == (b"", b"")


@pytest.mark.parametrize("query", ["?projects=nosuch", "?resourceVersion=1", "?selector=a%3Db"])
def test_stream_with_nothing_to_say_sends_not_even_headers(world: World, query: str) -> None:
    world.start()
    world.push_tenant("alpha")
    world.await_ready("alpha")
    with listening(world, query) as lines:
        world.push_tenant("alpha")
        world.await_ready("alpha")
    assert lines == []


def test_stream_is_silent_without_rights(world: World) -> None:
    world.start()
    with listening(world, account="nobody") as lines:
        world.push_tenant("alpha")
        world.await_ready("alpha")
    assert lines == []


def test_slow_reader_loses_events_and_nobody_waits_for_it(world: World) -> None:
    stand_in = world.start(stream_buffer=2)
    slow = stand_in.registry.subscribe()
    world.push_tenant("alpha")
    world.await_ready("alpha")
    assert slow.qsize() == 2
    assert slow.get_nowait().type == "ADDED"
    with pytest.raises(queue.Empty):
        [slow.get_nowait() for _ in range(2)]


def test_open_stream_does_not_hold_up_the_end(world: World) -> None:
    stand_in = world.start()
    with listening(world):
        eventually(lambda: stand_in.registry._subscribers)
        stand_in.stop()
        eventually(lambda: not stand_in.registry._subscribers)


def test_reader_that_hangs_up_is_forgotten(world: World) -> None:
    stand_in = world.start()
    with socket.create_connection(("127.0.0.1", stand_in.port)) as connection:
        connection.sendall(
            b"GET /api/v1/stream/applications HTTP/1.1\r\nHost: localhost\r\n"
            b"Authorization: Bearer token-of-tenantry\r\n\r\n"
        )
        eventually(lambda: stand_in.registry._subscribers)
    eventually(lambda: not stand_in.registry._subscribers)


# Pages


def test_page_lists_every_application_and_escapes_everything(world: World) -> None:
    stand_in = world.start()
    hostile = '<script>alert("x")</script> {{7*7}}'
    world.push_tenant("alpha", tenant=tenant_json("alpha", company=hostile))
    world.push_tenant("beta", kustomization="resources: [missing.yaml]\n")
    world.await_ready("alpha")
    world.await_application("beta", lambda one: one["status"].get("conditions"))
    page = world.get("/", account=None)
    assert page.status_code == 200
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text
    assert "{{7*7}}" in page.text
    assert f'href="http://cust-alpha.localhost:{stand_in.port}/"' in page.text
    for text in ("customer-alpha", "customer-beta", "cust-alpha", "starter", "missing.yaml"):
        assert text in page.text


@pytest.mark.parametrize("which", ["page", "instance", "unknown", "not found", "api"])
def test_every_surface_says_that_it_is_a_stand_in(world: World, which: str) -> None:
    world.start()
    world.push_tenant("alpha")
    world.await_ready("alpha")
    answer = {
        "page": lambda: world.get("/", account=None),
        "instance": lambda: world.visit("cust-alpha.localhost"),
        "unknown": lambda: world.visit("cust-nobody.localhost"),
        "not found": lambda: world.get("/nosuch"),
        "api": lambda: world.get("/api/version"),
    }[which]()
    assert answer.headers["X-Tenantry-Stand-In"] == "development"
    if answer.headers["Content-Type"].startswith("text/html"):
        assert "no part of production" in answer.text
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
    if which == "unknown":
        assert answer.status_code == 404


def test_style_is_the_one_that_the_policy_names(world: World) -> None:
    world.start()
    page = world.get("/", account=None)
    style = re.search(r"<style>(.*?)</style>", page.text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"sha256-{digest}" in page.headers["Content-Security-Policy"]


def test_host_decides_who_answers(world: World) -> None:
    world.start()
    world.push_tenant("alpha")
    world.await_ready("alpha")
    assert world.visit("CUST-alpha.localhost:1234").status_code == 200
    assert world.visit("cust-alpha.localhost", "/api/v1/applications").json()["stand_in"] is True
    for stranger in ("evil.example", "localhost.evil.example", ""):
        assert world.visit(stranger, "/api/v1/applications").status_code in {400, 404}


@pytest.mark.parametrize(
    ("header", "host"),
    [("localhost", "localhost"), ("LocalHost:80", "localhost"), ("[::1]:80", "::1"), ("", "")],
)
def test_host_of_a_header(header: str, host: str) -> None:
    assert host_of(header) == host


# CLI


@pytest.mark.parametrize("told", ["the first thread", "another"])
def test_command_listens_and_ends_on_sigterm(world: World, tmp_path: Path, told: str) -> None:
    """The system chooses the thread, and mostly the first; Python's handlers run only there."""
    (tmp_path / "token").write_text(f"{TOKENS['tenantry']}\n")
    (tmp_path / "secret").write_text(WEBHOOK_SECRET)
    child = subprocess.Popen(
        [
            sys.executable, "-c", "from tenantry.cli.devcluster import dev; dev()", "cluster",
            "--repository", str(world.repository.path), "--port", "0",
            "--sealing-key", str(world.keys.sealing_key),
            "--token-file", str(tmp_path / "token"),
            "--webhook-secret-file", str(tmp_path / "secret"),
        ],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        port = re.search(r"http://localhost:(\d+)/", line)
        assert port is not None, line
        lasting = sorted(int(task.name) for task in Path(f"/proc/{child.pid}/task").iterdir())
        answer = requests.get(
            f"http://127.0.0.1:{port[1]}/api/v1/session/userinfo",
            headers={"Authorization": f"Bearer {TOKENS['tenantry']}"},
            timeout=10,
        )
        assert answer.json()["username"] == "tenantry"
        thread = child.pid if told == "the first thread" else lasting[-1]
        assert ctypes.CDLL(None).tgkill(child.pid, thread, signal.SIGTERM) == 0
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


@pytest.mark.parametrize("content", ["", "one two three", "admin token"])
def test_command_refuses_a_token_file_that_is_none(tmp_path: Path, content: str) -> None:
    for name in ("key", "token", "secret"):
        (tmp_path / name).write_text(content)
    result = click.testing.CliRunner().invoke(
        dev,
        ["cluster", "--repository", str(tmp_path), "--sealing-key", str(tmp_path / "key"),
         "--token-file", str(tmp_path / "token"),
         "--webhook-secret-file", str(tmp_path / "secret")],
    )  # fmt: skip
    assert "token holds no tokens" in str(result.exception)


# Small parts


@pytest.mark.parametrize(
    ("text", "value"),
    [("250m", "0.25"), ("1", "1"), ("1.5", "1.5"), ("512Mi", "536870912"), ("2Gi", "2147483648")],
)
def test_quantity(text: str, value: str) -> None:
    assert quota.amount(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "1X", "Mi", "abc"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        quota.amount(text)


def test_limit_range_fills_in_what_a_container_leaves_out() -> None:
    limits = [
        {"type": "Container", "default": {"cpu": "200m"}, "defaultRequest": {"cpu": "50m"}},
        {"type": "Pod", "default": {"cpu": "9"}},
    ]
    pod = {"containers": [{"name": "a"}, {"name": "b", "resources": {"limits": {"cpu": "1"}}}]}
    needs = quota.pod_needs(pod, [{"spec": {"limits": limits}}])
    assert needs == {
        "pods": Decimal(1),
        "requests.cpu": Decimal("1.05"),
        "limits.cpu": Decimal("1.2"),
    }


def test_init_containers_count_where_they_ask_for_more() -> None:
    def container(cpu: str, **fields: str) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}, **fields}

    running, greedy = [container("1"), container("2")], container("4")
    assert quota.pod_needs({"containers": running}, [])["requests.cpu"] == 3
    for starters, cpu in (
        ([container("2")], 3),
        ([container("2"), greedy], 4),
        ([container("2", restartPolicy="Always")], 5),
    ):
        pod = {"containers": running, "initContainers": starters}
        assert quota.pod_needs(pod, [])["requests.cpu"] == cpu


def test_quota_refuses_pods_that_do_not_say_what_it_limits() -> None:
    hard = {"metadata": {"name": "plan"}, "spec": {"hard": {"memory": "1Gi", "pods": "3"}}}
    refusal = quota.refusal([hard], {"pods": Decimal(1)}, {}, must_name=True)
    assert refusal == "failed quota: plan: must specify requests.memory"


def test_quota_counts_what_is_used() -> None:
    hard = {"metadata": {"name": "plan"}, "spec": {"hard": {"pods": "3"}}}
    assert quota.refusal([hard], {"pods": Decimal(1)}, {"pods": Decimal(2)}) is None
    assert quota.refusal([hard], {"pods": Decimal(1)}, {"pods": Decimal(3)}) == (
        "exceeded quota: plan, requested: pods=1, used: pods=3, limited: pods=3"
    )


@pytest.mark.parametrize(
    "text",
    [
        "{{ . }}",
        "{{ .a | b }}",
        "{{- .a }}",
        "{{ if .a }}",
        '{{ index .a "b\\"" }}',
        "{{}}",
        "{{ .a",
    ],
)
def test_template_that_is_not_understood(text: str) -> None:
    with pytest.raises(gotemplate.UnsupportedTemplate):
        gotemplate.check({"a": [text]})


@pytest.mark.parametrize("text", ["{{ .b }}", "{{ .a.b }}", "{{ index .list 9 }}"])
def test_template_that_names_what_is_not_there(text: str) -> None:
    with pytest.raises(gotemplate.MissingKey):
        gotemplate.render(text, {"a": "text", "list": [1]})


def test_template_is_rendered_once() -> None:
    tree = {"{{ .a }}": ["{{ .a }}-{{ index .list 0 }}", True, 3]}
    assert gotemplate.render(tree, {"a": "{{ .b }}", "list": [7]}) == {
        "{{ .b }}": ["{{ .b }}-7", True, 3]
    }

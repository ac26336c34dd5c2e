"""Bytes that no HTTP library sends, to the real `tenantry serve`: one shape of error, never a 500,
and the server goes on.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tenantry import settings, wiring
from tenantry.adapters.git import create_bare
from tests.invariants import check_invariants
from tests.ports import free_port, is_open

PROBLEM = {"type", "title", "status", "detail", "instance", "error", "message", "code",
           "request_id"}  # fmt: skip
PASSWORD = "SecurePass123"
THREADS = 4
SERVE = """
from tenantry.cli.main import main
from tenantry.web import server

server.READ_WITHIN, server.ANSWER_WITHIN_FULL = 3.0, 1.0
main()
"""
SIGNUP = b"POST /api/customers/signup HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def signup(email: str, *headers: bytes) -> bytes:
    fields = {"email": email, "password": PASSWORD, "company_name": "Test Corp"}
    body = json.dumps(fields).encode()
    lines = [*headers, b"Content-Length: %d" % len(body)]
    return SIGNUP + b"\r\n".join(lines) + b"\r\n\r\n" + body


@dataclass(frozen=True)
class Answer:
    status: int
    head: bytes
    body: bytes

    def problem(self) -> dict[str, Any]:
        """The body; AssertionError where it is not the one shape."""
        assert b"application/problem+json" in self.head, self
        found: dict[str, Any] = json.loads(self.body)
        assert found.keys() >= PROBLEM
        assert found["status"] == self.status
        assert found["request_id"].encode() in self.head
        return found


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a `tenantry serve` of less patience; the invariants are checked once it has
    ended.
    """
    folder = tmp_path_factory.mktemp("raw")
    create_bare(folder / "tenants.git")
    port = free_port()
    environment = {
        **os.environ,
        "TENANTRY_DATA_DIR": str(folder / "data"),
        "TENANTRY_CELLS__MAIN__REPOSITORY_URL": str(folder / "tenants.git"),
        "TENANTRY_PORT": str(port),
        "TENANTRY_WEB_PROCESSES": "1",
        "TENANTRY_WEB_THREADS": str(THREADS),
    }
    (folder / "logs").mkdir()
    log = folder / "logs" / "serve.log"
    command = [sys.executable, "-c", SERVE, "serve"]
    with log.open("wb") as out:
        child = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    try:
        wait_until_open(port, child, log)
        yield port
    finally:
        child.terminate()
        child.wait(30)
    assert '"level": "error"' not in log.read_text(), log.read_text()
    cell = {"repository_url": str(folder / "tenants.git")}
    service = wiring.build(settings.load(data_dir=folder / "data", cells={"main": cell}))
    check_invariants(service, canaries=[PASSWORD], logs=folder / "logs")
    service.database.close()


def wait_until_open(port: int, child: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < give_up:
        if is_open(port):
            return
    raise AssertionError(log.read_text())


@pytest.fixture(autouse=True)
def goes_on(port: int) -> Iterator[None]:
    """After whatever was sent, the next client is served."""
    yield
    (answer,) = exchange(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.status == 200


def exchange(port: int, *parts: bytes, more_to_come: bool = False) -> list[Answer]:
    """All that is answered until the server closes; a client that sends on is cut off likewise."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        for part in parts:
            client.sendall(part)
        if not more_to_come:
            client.shutdown(socket.SHUT_WR)
        while piece := client.recv(65_536):
            received += piece
    return list(split(received))


def split(received: bytes) -> Iterator[Answer]:
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        yield Answer(int(head.split()[1]), head, rest[:length])
        received = rest[length:]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"G\x00T / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: a\r\n b\r\n\r\n", 400),
        (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X-A: a\r\n" * 10_000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 900_000, 431),
        (SIGNUP + b"Content-Length: -1\r\n\r\n{}", 400),
        (SIGNUP + b"Content-Length: two\r\n\r\n{}", 400),
        (SIGNUP + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x", 400),
        (SIGNUP + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 400),
        (SIGNUP + b"Transfer-Encoding: snappy\r\n\r\n{}", 501),
        (SIGNUP + b"Expect: a-miracle\r\nContent-Length: 2\r\n\r\n{}", 417),
        (SIGNUP + b"Content-Length: 99999999999999999999\r\n\r\n{}", 413),
        (SIGNUP + b"Content-Length: 1000\r\n\r\n{}", 400),
        (signup("cut@example.com").replace(b"Content-Length: ", b"Content-Length: 1"), 400),
        (SIGNUP + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_in_the_one_shape(
    port: int, request_bytes: bytes, status: int
) -> None:
    (answer,) = exchange(port, request_bytes)
    assert answer.problem()["status"] == status
    assert b"connection: close" in answer.head.lower()


def test_an_answer_arrives_although_the_client_is_still_sending(port: int) -> None:
    head = b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 900_000
    (answer,) = exchange(port, head, more_to_come=True)
    assert answer.problem()["status"] == 431


@pytest.mark.parametrize(("version", "status"), [(b"", 400), (b" HTTP/1.0", 200)])
def test_old_versions_and_no_host_are_answered(port: int, version: bytes, status: int) -> None:
    (answer,) = exchange(port, b"GET /healthz" + version + b"\r\n\r\n")
    assert answer.status == status


def test_the_host_that_is_asked_for_does_not_matter(port: int) -> None:
    for target in (b"http://evil.example/healthz", b"/healthz"):
        (answer,) = exchange(
            port, b"GET %b HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n" % target
        )
        assert b"evil" not in answer.head + answer.body
        assert answer.status == 200


def test_of_two_signups_in_one_breath_both_are_answered_in_order(port: int) -> None:
    received = exchange(
        port, signup("pipe-1@example.com"), signup("pipe-2@example.com", b"Connection: close")
    )
    assert [answer.status for answer in received] == [201, 201]
    emails = [json.loads(answer.body)["customer"]["email"] for answer in received]
    assert emails == ["pipe-1@example.com", "pipe-2@example.com"]


def test_a_body_that_is_longer_than_said_is_no_second_signup(port: int) -> None:
    first = signup("smuggle-1@example.com")
    done, refused = exchange(port, first + b"extra" + signup("smuggle-2@example.com"))
    assert done.status == 201
    assert refused.problem()["status"] == 400


def test_a_repeated_signup_over_one_connection_is_replayed(port: int) -> None:
    once = signup("again@example.com", b"Idempotency-Key: a-key")
    last = signup("again@example.com", b"Idempotency-Key: a-key", b"Connection: close")
    first, second = exchange(port, once, last)
    assert (first.status, second.status) == (201, 201)
    assert first.body == second.body
    assert b"idempotency-replayed: true" in second.head.lower()


def test_slow_clients_are_cut_off_and_told_so_where_there_is_a_request(port: int) -> None:
    slow = (SIGNUP + b"Content-Length: 100\r\n\r\n{", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    with ThreadPoolExecutor(2) as pool:
        body, head = pool.map(lambda sent: exchange(port, sent, more_to_come=True), slow)
    assert body[0].problem()["status"] == 400
    assert not head


def test_clients_that_take_no_answer_are_cut_off(port: int) -> None:
    asked = b"GET /api/docs HTTP/1.1\r\nHost: x\r\n\r\n" * 400
    with ExitStack() as clients:
        for _ in range(THREADS):
            client = clients.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.sendall(asked)
        while is_served(port, within=0.3):
            pass  # until they have taken every thread
        assert is_served(port, within=30)


def test_a_client_that_never_ends_is_cut_off_after_its_answer(port: int) -> None:
    """Far more than that would pass before its time is up."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        while client.recv(65_536):
            pass
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            client.sendall(bytes(64 << 20))


def test_clients_that_keep_their_end_open_cost_others_no_time(port: int) -> None:
    asked = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            for _ in range(20)
        ]
        for client in clients:
            client.sendall(asked)
        assert is_served(port, within=10)


def is_served(port: int, *, within: float) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=within) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        try:
            return bool(client.recv(1))
        except TimeoutError:
            return False


def test_serving_at_a_taken_port_is_one_line(port: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tenantry", "serve", "--port", str(port)],
        env={**os.environ, "TENANTRY_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert str(port) in line
    assert "TENANTRY_PORT" in line

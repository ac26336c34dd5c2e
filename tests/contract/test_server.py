"""The HTTP server as clients meet it over sockets, those that dawdle or speak nonsense too."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests

from tests.ports import free_port

PROCESSES, THREADS = 1, 4


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a `tenantry serve` with few threads."""
    with serving(tmp_path_factory.mktemp("server"), processes=PROCESSES, threads=THREADS) as port:
        yield port


@contextmanager
def serving(folder: Path, *, processes: int, threads: int) -> Iterator[int]:
    port = free_port()
    environment = {
        **os.environ,
        "TENANTRY_DATA_DIR": str(folder),
        "TENANTRY_PORT": str(port),
        "TENANTRY_WEB_PROCESSES": str(processes),
        "TENANTRY_WEB_THREADS": str(threads),
    }
    log = folder / "serve.log"
    with log.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "tenantry", "serve"], env=environment, stdout=out, stderr=out
        )
    try:
        wait_until_alive(port, child, log)
        yield port
    finally:
        child.terminate()
        child.wait(30)


def wait_until_alive(port: int, child: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + 60
    while not is_alive(port):
        assert child.poll() is None, log.read_text()
        assert time.monotonic() < give_up, log.read_text()


def is_alive(port: int, within: float = 1) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/healthz", timeout=within).ok
    except requests.RequestException:
        return False


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def test_idle_connections_take_no_thread(port: int) -> None:
    with ExitStack() as connections:
        for _ in range(5 * PROCESSES * THREADS):
            connections.enter_context(connect(port))
        assert is_alive(port, within=5)


@pytest.mark.parametrize(
    "beginning",
    [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        (
            b"POST /api/customers/signup HTTP/1.1\r\nHost: x\r\n"
            b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
        ),
    ],
    ids=["header", "body"],
)
def test_half_sent_requests_do_not_stop_the_service(port: int, beginning: bytes) -> None:
    with ExitStack() as connections:
        for _ in range(2 * PROCESSES * THREADS):
            connections.enter_context(connect(port)).sendall(beginning)
        assert is_alive(port, within=30)


def test_process_that_is_busy_leaves_connections_to_others(tmp_path: Path) -> None:
    """As many as would otherwise hardly all come to the one that is free."""
    with serving(tmp_path, processes=2, threads=1) as port, connect(port) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        answers = [is_alive(port, within=30) for _ in range(20)]
        slow.setblocking(False)
        with pytest.raises(BlockingIOError):
            slow.recv(1)  # it was not even cut off meanwhile: nobody had to wait for that
    assert all(answers)


@pytest.mark.parametrize("size", [b"zz", b"-2"])
def test_broken_chunk_is_the_clients_fault_and_said_in_the_one_shape(
    port: int, size: bytes
) -> None:
    with connect(port) as client:
        client.sendall(
            b"POST /api/customers/signup HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n"
            b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            + size
            + b"\r\n{}\r\n0\r\n\r\n"
        )
        with client.makefile("rb") as answer:
            status = answer.readline()
            head = b"".join(iter(answer.readline, b"\r\n"))
            body = json.loads(answer.read())
    assert b" 400 " in status
    assert b"application/problem+json" in head
    assert body.keys() >= {"type", "title", "status", "detail", "error", "message", "code"}


def test_doubled_slash_leads_nowhere(port: int) -> None:
    answer = requests.get(
        f"http://127.0.0.1:{port}/static//x",
        headers={"Host": "evil.example"},
        allow_redirects=False,
        timeout=10,
    )
    assert answer.status_code == 404
    assert "Location" not in answer.headers

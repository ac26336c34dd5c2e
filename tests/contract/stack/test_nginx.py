"""The tenant's Nginx, a real one with our configuration: what it routes, what it refuses while the
tenant is read-only, and what it says of the whole stack.
"""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.contract.stack.backends import Backend, refusing, serving
from tests.contract.stack.deployment import probe_paths
from tests.contract.stack.front import SERVICES, Nginx, nginx, stand_in

# What /healthz asks each component; the broker's listener has nothing to show and says so.
HEALTH = {
    "api": "/readyz",
    "admin": "/healthz",
    "grafana": "/grafana/api/health",
    "node-red": "/",
    "influxdb": "/health",
    "mosquitto": "/",
}
UNSAFE = ("POST", "PUT", "PATCH", "DELETE", "PROPFIND", "MKCOL", "LOCK", "BREW")


@pytest.fixture(scope="module")
def all_backends() -> Iterator[dict[str, Backend]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(serving(Backend(name, 404 if name == "mosquitto" else 200)))
            for name in SERVICES
        }


@pytest.fixture
def backends(all_backends: dict[str, Backend]) -> dict[str, Backend]:
    for backend in all_backends.values():
        backend.reset()
    return all_backends


@pytest.fixture(scope="module")
def front(all_backends: dict[str, Backend]) -> Iterator[Nginx]:
    with nginx(ports(all_backends)) as running:
        yield running


def ports(backends: dict[str, Backend]) -> dict[str, int]:
    return {name: backend.port for name, backend in backends.items()}


def asked(backends: dict[str, Backend]) -> dict[str, list[str]]:
    """Who was asked what."""
    return {name: backend.lines() for name, backend in backends.items() if backend.requests}


# --- Routes ---


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/api", "api"),
        ("/api/", "api"),
        ("/api/devices?limit=5&q=a%2Fb", "api"),
        ("/api/a%2Fb//c", "api"),
        ("/apiary", "admin"),
        ("/API/devices", "admin"),
        ("/grafana", "grafana"),
        ("/grafana/d/overview?orgId=1", "grafana"),
        ("/grafanalike", "admin"),
        ("/", "admin"),
        ("/login", "admin"),
        ("/mqttish", "admin"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reads_go_through_unchanged_to_whom_the_ingress_would_send_them(
    front: Nginx, backends: dict[str, Backend], method: str, path: str, service: str
) -> None:
    assert front.ask(method, path).status == 200
    assert asked(backends) == {service: [f"{method} {path}"]}


def test_the_back_end_learns_who_asked_whom(front: Nginx, backends: dict[str, Backend]) -> None:
    front.ask(
        "GET",
        "/api/devices",
        {
            "Host": "k7.example.com",
            "X-Forwarded-For": "203.0.113.9",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "k7.example.com",
            "Authorization": "Bearer abc",
        },
    )
    (request,) = backends["api"].requests
    assert request.headers["Host"] == "k7.example.com"
    assert request.headers["X-Forwarded-For"] == "203.0.113.9, 127.0.0.1"
    assert request.headers["X-Forwarded-Proto"] == "https"
    assert request.headers["X-Forwarded-Host"] == "k7.example.com"
    assert request.headers["Authorization"] == "Bearer abc"


def test_what_the_back_end_says_is_passed_on(front: Nginx, backends: dict[str, Backend]) -> None:
    for backends["api"].status in (201, 401, 403, 404, 500):
        answer = front.ask("GET", "/api/devices")
        assert (answer.status, answer.body) == (backends["api"].status, b"api")


def test_only_itself_answers_for_its_own_pod(front: Nginx, backends: dict[str, Backend]) -> None:
    (path,) = probe_paths("nginx")
    assert (front.ask("GET", path).status, path) == (200, "/livez")
    assert asked(backends) == {}


# --- Read-only ---


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/login",
        "/api",
        "/api/devices",
        "//api/devices",
        "/API/devices",
        "/%61pi/devices",
        "/%2e/api/devices",
        "/api/../api/devices",
        "/api/%2e%2e/api/devices",
        "/api;v=1/devices",
        "/grafana/api/dashboards/db",
        "/grafana/api/ds/queryx",
        "/mqtt",
        "/healthz",
        "/livez",
        "/-/ask",
        "http://other.example.com/api/devices",
        # spellings of what may pass
        "/api/auth/login/",
        "/api/auth/login?next=/",
        "/api/auth/login#x",
        "/api/auth/login/../../devices",
        "/api/devices/../auth/login",
        "/api/auth/login%2f..%2f..%2fdevices",
        "/api/auth/login%00",
        "//api/auth/login",
        "/API/auth/login",
        "/api/auth/%6cogin",
        "/grafana/login/../api/dashboards/db",
        "/grafana/api/ds/query/../../dashboards/db",
        "/grafana/api/ds/query%3f/../../../dashboards/db",
    ],
)
def test_no_path_lets_an_unsafe_method_through(
    front: Nginx, backends: dict[str, Backend], path: str
) -> None:
    for method in UNSAFE:
        answer = front.ask(method, path, body=b"{}")
        assert answer.status == (400 if "%00" in path else 403)
    assert asked(backends) == {}


def test_the_refusal_is_one_that_a_program_and_a_customer_understand(front: Nginx) -> None:
    answer = front.ask("DELETE", "/api/devices/1")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["code"] == "read_only"
    assert (answer.json["status"], answer.json["error"]) == (403, "This instance is read only")
    assert "nothing can be changed. Subscribe or renew" in answer.json["message"]


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "post", "get", "GET\tPOST"])
def test_what_is_no_method_of_a_page_reaches_nobody(
    front: Nginx, backends: dict[str, Backend], method: str
) -> None:
    with socket.create_connection(("127.0.0.1", front.port), timeout=10) as connection:
        connection.sendall(
            f"{method} /api HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        )
        status = connection.makefile("rb").readline().split()[1]
    assert status in {b"400", b"405"}
    assert asked(backends) == {}


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/api/auth/login", "api"),
        ("/api/auth/logout", "api"),
        ("/grafana/login", "grafana"),
        ("/grafana/api/user/auth-tokens/rotate", "grafana"),
        ("/grafana/api/ds/query", "grafana"),
        ("/grafana/api/ds/query?ds_type=influxdb&requestId=SQR100", "grafana"),
    ],
)
def test_logging_in_and_asking_may_post_and_nothing_else(
    front: Nginx, backends: dict[str, Backend], path: str, service: str
) -> None:
    assert front.ask("POST", path, body=b"{}").status == 200
    assert front.ask("DELETE", path).status == front.ask("PUT", path, body=b"{}").status == 403
    assert asked(backends) == {service: [f"POST {path}"]}


@pytest.mark.parametrize(
    "header",
    [
        "X-HTTP-Method-Override",
        "x-http-method-override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X_HTTP_Method_Override",
        "X-Original-Method",
        "X-Original-URL",
        "X-Rewrite-URL",
    ],
)
def test_no_header_makes_a_read_something_else(
    front: Nginx, backends: dict[str, Backend], header: str
) -> None:
    assert front.ask("GET", "/api/devices/1", {header: "DELETE"}).status == 200
    (request,) = backends["api"].requests
    assert "DELETE" not in request.headers.values()


def test_a_large_body_is_refused_before_anyone_sees_it(
    front: Nginx, backends: dict[str, Backend]
) -> None:
    assert front.ask("POST", "/api/auth/login", {"Content-Length": "1048577"}).status == 413
    assert asked(backends) == {}


# --- WebSockets ---

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\nUpgrade: {upgrade}\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def upgraded(front: Nginx, path: str, upgrade: str = "websocket") -> bytes:
    """The status line, or what comes back over the upgraded connection."""
    with socket.create_connection(("127.0.0.1", front.port), timeout=10) as connection:
        asking = HANDSHAKE.format(path=path, connection="Upgrade", upgrade=upgrade)
        connection.sendall(asking.encode())
        answer = connection.makefile("rb")
        status = answer.readline()
        if b" 101 " not in status:
            return status.strip()
        while answer.readline().strip():
            pass
        connection.sendall(b"hello\n")
        return answer.readline().strip()


@pytest.mark.parametrize("path", ["/mqtt", "/mqtt/", "/grafana/api/live/ws"])
@pytest.mark.parametrize("upgrade", ["websocket", "WebSocket"])
def test_devices_and_live_panels_may_keep_a_connection(
    front: Nginx, backends: dict[str, Backend], path: str, upgrade: str
) -> None:
    assert upgraded(front, path, upgrade) == b"hello"


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/mqtt", "/mqtt%20websocket", "/grafana/", "/grafana/api/live/ws/x"]
)
@pytest.mark.parametrize("upgrade", ["websocket", "websocket /mqtt/", "/mqtt websocket"])
def test_elsewhere_no_connection_is_upgraded(
    front: Nginx, backends: dict[str, Backend], path: str, upgrade: str
) -> None:
    assert upgraded(front, path, upgrade) == b"HTTP/1.1 200 OK"
    ((request,),) = [backend.requests for backend in backends.values() if backend.requests]
    assert "Upgrade" not in request.headers


def test_nothing_but_a_web_socket_reaches_the_broker(
    front: Nginx, backends: dict[str, Backend]
) -> None:
    assert front.ask("GET", "/mqtt").status == 426
    assert upgraded(front, "/mqtt", "h2c").split()[1] == b"426"
    assert asked(backends) == {}


# --- Health of the whole stack ---


def test_the_whole_stack_is_well_when_all_of_it_answers(
    front: Nginx, backends: dict[str, Backend]
) -> None:
    answer = front.ask("GET", "/healthz", {"Authorization": "Bearer abc", "Cookie": "a=b"})
    assert (answer.status, answer.json) == (200, {"status": "ok"})
    assert answer.headers["Content-Type"] == "application/json"
    assert asked(backends) == {name: [f"GET {path}"] for name, path in HEALTH.items()}
    headers = {name for backend in backends.values() for name in backend.requests[0].headers}
    assert headers.isdisjoint({"Authorization", "Cookie"})


def test_the_health_may_be_asked_by_head(front: Nginx, backends: dict[str, Backend]) -> None:
    assert front.ask("HEAD", "/healthz").status == 200
    backends["influxdb"].status = 500
    assert front.ask("HEAD", "/healthz").status == 503


@pytest.mark.parametrize("component", HEALTH)
@pytest.mark.parametrize("status", [302, 401, 403, 404, 500, 503])
def test_a_component_that_is_not_well_is_named(
    front: Nginx, backends: dict[str, Backend], component: str, status: int
) -> None:
    if (component, status) == ("mosquitto", 404):
        status = 400
    backends[component].status = status
    assert_named(front, component)


@pytest.mark.parametrize("component", HEALTH)
def test_a_component_that_is_down_is_named(backends: dict[str, Backend], component: str) -> None:
    with refusing() as port, nginx(ports(backends) | {component: port}) as front:
        assert_named(front, component)


def test_a_component_that_hangs_is_named(front: Nginx, backends: dict[str, Backend]) -> None:
    backends["influxdb"].gate.clear()
    assert_named(front, "influxdb")


def assert_named(front: Nginx, component: str) -> None:
    answer = front.ask("GET", "/healthz")
    assert (answer.status, answer.json["component"]) == (503, component)
    assert answer.headers["Content-Type"] == "application/json"


def test_what_asks_for_health_cannot_be_reached_from_outside(
    front: Nginx, backends: dict[str, Backend]
) -> None:
    for path in ("/-/ask", "/-/nothing-to-show", "/%2d/ask", "//-/ask"):
        assert front.ask("GET", path).status == 404
    assert asked(backends) == {}


# --- Running ---


def test_the_log_is_json_and_holds_no_secret(backends: dict[str, Backend]) -> None:
    with refusing() as port, nginx(ports(backends) | {"admin": port}) as front:
        for path in ("/api/devices?token=hush", "/login?token=hush", '/api/"\\x?hush'):
            front.ask("GET", path, {"Authorization": "hush", "Cookie": "s=hush", "Referer": "hush"})
        front.ask("POST", "/api/auth/login?hush", body=b"hush")
        front.ask("GET", "/livez")
        lines = [json.loads(line) for line in front.log().splitlines()]
        assert [line["status"] for line in lines] == [200, 502, 200, 403]
        assert lines[1]["path"] == "/login"
        assert "hush" not in front.log()


def test_it_says_nothing_of_its_version(front: Nginx) -> None:
    for path in ("/livez", "/-/ask", "/api"):
        assert "/" not in front.ask("GET", path).headers["Server"]


def test_what_is_under_way_is_finished_before_it_goes(backends: dict[str, Backend]) -> None:
    with nginx(ports(backends)) as front:
        backends["api"].gate.clear()
        statuses: list[int] = []
        client = threading.Thread(
            target=lambda: statuses.append(front.ask("GET", "/api/report").status)
        )
        client.start()
        assert backends["api"].arrived.wait(10)
        front.child.send_signal(signal.SIGQUIT)
        backends["api"].gate.set()
        client.join(10)
        assert (front.child.wait(10), statuses) == (0, [200])


# --- Stand-ins of the vendor's ---


@pytest.mark.parametrize("component", ["api", "admin"])
def test_a_stand_in_answers_what_the_kubelet_asks(component: str) -> None:
    with stand_in(component) as server:
        for path in probe_paths(component):
            assert server.ask("GET", path).json["status"] in {"ok", "ready"}
        assert server.ask("GET", HEALTH[component]).status == 200


def test_the_api_stands_below_its_prefix() -> None:
    with stand_in("api") as server:
        for path in ("/api", "/api/devices"):
            assert server.ask("GET", path).json == {"name": "api", "stand_in": True}
            assert server.ask("POST", path, body=b"{}").status == 200
        assert server.ask("GET", "/apiary").status == server.ask("GET", "/").status == 404


def test_the_admin_panel_is_one_page_and_gives_nothing_else_away() -> None:
    with stand_in("admin") as server:
        for path in ("/", "/login"):
            answer = server.ask("GET", path)
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            assert "form-action 'none'" in answer.headers["Content-Security-Policy"]
            assert b"This page is a stand-in." in answer.body
        assert server.ask("GET", "/nginx.conf").status == 404

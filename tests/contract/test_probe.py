"""Whether an instance answers, asked of servers that answer well, badly, slowly and never."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from tenantry.adapters.probe import BODY_LIMIT, Probed, answers, read_json
from tests.replay import Handler, serve

HOST = "cust-bcdfghjkmn.localhost"
PATIENT = 20.0
HASTY = 0.4


def ask(say: Callable[[Handler], None], path: str = "/", deadline: float = PATIENT) -> Probed:
    """Probe `http://cust-….localhost/` at a server that does as `say` says."""
    with serve(say) as fake:
        connect_to = ("127.0.0.1", fake.port)
        return answers(
            f"http://{HOST}{path}", connect_to=connect_to, deadline=deadline, private=True
        )


def status(code: int, **headers: str) -> Callable[[Handler], None]:
    def say(handler: Handler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return say


@pytest.mark.parametrize("code", [200, 204, 401, 403])
def test_these_count_as_answering(code: int) -> None:
    probed = ask(status(code))
    assert probed == Probed(ok=True, reason=f"It answers {code}.", status=code)
    assert bool(probed)


@pytest.mark.parametrize("code", [400, 404, 429, 500, 502, 503])
def test_these_do_not(code: int) -> None:
    probed = ask(status(code))
    assert probed == Probed(ok=False, reason=f"It answers {code}.", status=code)
    assert not bool(probed)


@pytest.mark.parametrize(
    "target",
    ["/login", "login", "?next=1", f"https://{HOST}/", f"HTTP://{HOST.upper()}:8443/x"],
)
def test_a_redirect_within_the_host_answers(target: str) -> None:
    assert ask(status(302, location=target)) == Probed(
        True, "It answers 302, within its host.", 302
    )


@pytest.mark.parametrize(
    "target",
    ["https://elsewhere.example/", "//elsewhere.example/", f"https://{HOST}.evil.example/"],
)
def test_a_redirect_to_another_host_does_not(target: str) -> None:
    assert ask(status(302, Location=target)) == Probed(False, "It redirects to another host.", 302)


def test_a_redirect_to_nonsense_does_not() -> None:
    assert not ask(status(302, Location="https://[nonsense/"))


def test_it_asks_for_the_host_and_path_of_the_url() -> None:
    with serve(status(200)) as fake:
        connect_to = ("127.0.0.1", fake.port)
        assert answers(
            f"http://{HOST}:3101/up", connect_to=connect_to, deadline=PATIENT, private=True
        )
        assert answers(fake.url, deadline=PATIENT, private=True)
    assert fake.seen[0].headers["host"] == f"{HOST}:3101"
    assert (fake.seen[0].method, fake.seen[0].path) == ("GET", "/up")
    assert fake.seen[1].path == "/"


# Badly


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 999 Odd\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x16\r\n\r\n",
    ],
    ids=["nothing", "half a head", "SSH", "no status", "TLS alert"],
)
def test_what_is_no_http_does_not_answer(data: bytes) -> None:
    probed = ask(lambda handler: handler.send_raw(data))
    assert not probed
    assert probed.status is None
    assert probed.reason.endswith(".")


def drip(handler: Handler) -> None:
    """One header byte after the other, each well within any timeout between two bytes."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while not handler.fake.over.wait(0.02):
        handler.wfile.write(b"x")


@pytest.mark.parametrize("say", [Handler.hang, drip], ids=["hang", "drip"])
def test_the_deadline_holds_whatever_the_instance_does(say: Callable[[Handler], None]) -> None:
    started = time.monotonic()
    probed = ask(say, deadline=HASTY)
    assert probed == Probed(ok=False, reason="There was no answer within 0.4 s.")
    assert time.monotonic() - started < 10


def test_a_body_without_end_is_not_read() -> None:
    assert ask(flood_after(b"HTTP/1.1 200 OK\r\n\r\n")).ok


def test_a_head_without_end_is_no_answer() -> None:
    probed = ask(flood_after(b"HTTP/1.1 200 OK\r\nX: "))
    assert probed == Probed(ok=False, reason="What answers does not speak HTTP.")


def flood_after(start: bytes) -> Callable[[Handler], None]:
    def say(handler: Handler) -> None:
        handler.wfile.write(start)
        while not handler.fake.over.is_set():
            handler.wfile.write(b"x" * 65536)

    return say


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    probed = answers(f"http://127.0.0.1:{port}/", deadline=PATIENT, private=True)
    assert probed == Probed(ok=False, reason="No connection: Connection refused.")


@pytest.mark.parametrize("url", ["http://nothing.invalid/", f"http://{'x' * 70}.localhost/"])
def test_a_host_that_has_no_address(url: str) -> None:
    probed = answers(url, deadline=PATIENT, private=True)
    assert not probed
    assert probed.reason.endswith(".")


# TLS


def make_certificate(folder: Path, host: str) -> Path:
    """A certificate for `host` that vouches for itself, with its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tenantry test")])
    now = datetime.now(UTC)
    day = timedelta(days=1)
    names = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("192.0.2.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / f"{host}.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + private)
    return path


def server_context(path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_the_certificate_is_the_urls_and_trusted(tmp_path: Path) -> None:
    path = make_certificate(tmp_path, HOST)
    with serve(status(200), tls=server_context(path)) as fake:
        connect_to = ("127.0.0.1", fake.port)
        good = answers(
            f"https://{HOST}/", connect_to=connect_to, deadline=PATIENT, private=True, ca=path
        )
        stranger = answers(
            f"https://{HOST}/", connect_to=connect_to, deadline=PATIENT, private=True
        )
        other = answers(
            "https://other.localhost/",
            connect_to=connect_to,
            deadline=PATIENT,
            private=True,
            ca=path,
        )
    assert good == Probed(ok=True, reason="It answers 200.", status=200)
    assert stranger.reason == "The certificate is not trusted: self-signed certificate."
    assert other.reason.startswith("The certificate is not trusted: Hostname mismatch")
    assert len(fake.seen) == 1


def test_plain_http_on_the_tls_port_does_not_answer() -> None:
    with serve(status(200)) as fake:
        probed = answers(f"https://127.0.0.1:{fake.port}/", deadline=PATIENT, private=True)
    assert not probed
    assert probed.reason.startswith("No connection: ")


def test_a_tls_server_that_says_nothing_meets_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        probed = answers(f"https://127.0.0.1:{port}/", deadline=HASTY, private=True)
    assert probed == Probed(ok=False, reason="There was no answer within 0.4 s.")


# Addresses


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has every name lead to these addresses."""

    def resolve(*addresses: str, port: int = 9) -> None:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    return resolve


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.0.9", "0.0.0.1", "100.64.0.1",
     "::1", "fe80::1%eth0", "fd12::1", "::ffff:10.0.0.1"],
)  # fmt: skip
def test_addresses_of_our_own_network_are_refused(
    resolved: Callable[..., None], address: str
) -> None:
    resolved(address)
    probed = answers(f"http://{HOST}/", deadline=HASTY, private=False)
    assert not probed
    assert "is a private address, which INSTANCE_PRIVATE of the cell does not" in probed.reason
    assert read_json(f"http://{HOST}/", deadline=HASTY, private=False) is None


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254"])
@pytest.mark.parametrize("private", [True, False])
def test_a_clouds_own_address_is_refused_always(
    resolved: Callable[..., None], address: str, private: bool
) -> None:
    resolved(address)
    probed = answers(f"http://{HOST}/", deadline=HASTY, private=private)
    assert probed.reason.endswith("is no instance's address but the cloud's own.")


def test_the_address_to_connect_to_is_checked_too() -> None:
    with serve(status(200)) as fake:
        connect_to = ("127.0.0.1", fake.port)
        for private in (True, False):
            probed = answers(
                f"http://{HOST}/", connect_to=connect_to, deadline=PATIENT, private=private
            )
            assert bool(probed) is private


def test_an_address_that_may_be_is_taken_after_one_that_may_not(
    resolved: Callable[..., None],
) -> None:
    with serve(status(200)) as fake:
        resolved("169.254.169.254", "127.0.0.1", port=fake.port)
        assert answers(f"http://{HOST}/", deadline=PATIENT, private=True)


# What an instance says


def json_of(say: Callable[[Handler], None], deadline: float = PATIENT) -> object | None:
    with serve(say) as fake:
        connect_to = ("127.0.0.1", fake.port)
        return read_json(
            f"http://{HOST}/api/status", connect_to=connect_to, deadline=deadline, private=True
        )


def raw(body: bytes, head: bytes = b"HTTP/1.1 200 OK\r\n") -> Callable[[Handler], None]:
    return lambda handler: handler.send_raw(head + b"\r\n" + body)


def test_json_is_read_to_the_end_of_the_line() -> None:
    assert json_of(raw(b'{"license": {"id": "x"}}')) == {"license": {"id": "x"}}
    assert json_of(raw(b'"' + b"x" * (BODY_LIMIT - 2) + b'"')) == "x" * (BODY_LIMIT - 2)


def test_json_is_read_as_far_as_its_length() -> None:
    def say(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n[1")
        handler.wfile.write(b",2,3]")
        handler.fake.over.wait()  # the line stays open

    assert json_of(say) == [1, 2, 3]


NO_JSON = {
    "nothing": raw(b""),
    "text": raw(b"ok"),
    "no text": raw(b"\xff\xfe\xfa"),
    "deep": raw(b"[" * BODY_LIMIT),
    "long": raw(b'"' + b"x" * BODY_LIMIT + b'"'),
    "without end": flood_after(b"HTTP/1.1 200 OK\r\n\r\n"),
    "401": raw(b"{}", b"HTTP/1.1 401 Unauthorized\r\n"),
    "a redirect": raw(b"{}", b"HTTP/1.1 302 Found\r\nLocation: /\r\n"),
    "no HTTP": lambda handler: handler.send_raw(b"{}"),
}


@pytest.mark.parametrize("say", NO_JSON.values(), ids=NO_JSON)
def test_what_is_no_json_is_nothing(say: Callable[[Handler], None]) -> None:
    assert json_of(say) is None


@pytest.mark.parametrize("say", [Handler.hang, drip], ids=["hang", "drip"])
def test_the_deadline_holds_for_json_too(say: Callable[[Handler], None]) -> None:
    assert json_of(say, deadline=HASTY) is None

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

from tenantry.adapters.probe import Probed, answers
from tests.replay import Handler, serve

HOST = "cust-bcdfghjkmn.localhost"
PATIENT = 20.0
HASTY = 0.4


def ask(say: Callable[[Handler], None], path: str = "/", deadline: float = PATIENT) -> Probed:
    """Probe `http://cust-….localhost/` at a server that does as `say` says."""
    with serve(say) as fake:
        connect_to = ("127.0.0.1", fake.port)
        return answers(f"http://{HOST}{path}", connect_to=connect_to, deadline=deadline)


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
        assert answers(f"http://{HOST}:3101/up", connect_to=connect_to, deadline=PATIENT)
        assert answers(fake.url, deadline=PATIENT)
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
    probed = answers(f"http://127.0.0.1:{port}/", deadline=PATIENT)
    assert probed == Probed(ok=False, reason="No connection: Connection refused.")


@pytest.mark.parametrize("url", ["http://nothing.invalid/", f"http://{'x' * 70}.localhost/"])
def test_a_host_that_has_no_address(url: str) -> None:
    probed = answers(url, deadline=PATIENT)
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
        good = answers(f"https://{HOST}/", connect_to=connect_to, deadline=PATIENT, ca=path)
        stranger = answers(f"https://{HOST}/", connect_to=connect_to, deadline=PATIENT)
        other = answers(
            "https://other.localhost/", connect_to=connect_to, deadline=PATIENT, ca=path
        )
    assert good == Probed(ok=True, reason="It answers 200.", status=200)
    assert stranger.reason == "The certificate is not trusted: self-signed certificate."
    assert other.reason.startswith("The certificate is not trusted: Hostname mismatch")
    assert len(fake.seen) == 1


def test_plain_http_on_the_tls_port_does_not_answer() -> None:
    with serve(status(200)) as fake:
        probed = answers(f"https://127.0.0.1:{fake.port}/", deadline=PATIENT)
    assert not probed
    assert probed.reason.startswith("No connection: ")


def test_a_tls_server_that_says_nothing_meets_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        probed = answers(f"https://127.0.0.1:{port}/", deadline=HASTY)
    assert probed == Probed(ok=False, reason="There was no answer within 0.4 s.")

"""Git hosts for tests: real `git http-backend` behind TLS and a token, and a real sshd. They run on
free ports of this machine and are stopped at the end. What pushes did is counted by a hook.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import pwd
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tenantry.adapters.git import Access, create_bare
from tests.ports import free_port, is_open
from tests.programs import require
from tests.replay import Fake, Handler, serve

TOKEN = "canary-token-of-the-git-host"
USERNAME = "x-access-token"

COUNT = """#!/bin/sh
kind=forward
case $2 in
*[!0]*) git merge-base --is-ancestor "$2" "$3" || kind=forced ;;
esac
echo "$kind $1" >>{log}
"""


# --- Repositories ---


def make_repository(path: Path) -> Path:
    """A bare repository that counts what is pushed to it."""
    create_bare(path)
    count_pushes(path)
    return path


def count_pushes(repository: Path) -> None:
    """From now on `landed` and `forced` know how many pushes moved a ref."""
    hook = repository / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(COUNT.format(log=repository / "pushes.log"))
    hook.chmod(0o755)


def landed(repository: Path) -> int:
    """Ref updates that reached the repository."""
    return len(_pushes(repository))


def forced(repository: Path) -> int:
    """Those among them that dropped a commit."""
    return sum(line.startswith("forced ") for line in _pushes(repository))


def _pushes(repository: Path) -> list[str]:
    log = repository / "pushes.log"
    return log.read_text().splitlines() if log.exists() else []


# --- https ---


@dataclass
class HttpsHost:
    """Repositories below `folder` at `url(name)`. `meddle` may answer a request in its place
    and then returns True; `is_read_only` is what the token may do.
    """

    folder: Path
    fake: Fake
    ca_file: Path
    token_file: Path
    is_read_only: bool = False
    meddle: Callable[[Handler], bool] = field(default=lambda _: False)

    def url(self, name: str) -> str:
        """Of a repository `name`.git in the folder."""
        return f"https://localhost:{self.fake.port}/{name}.git"

    def access(self) -> Access:
        """What opens it."""
        return Access(token_file=self.token_file, ca_file=self.ca_file)


@contextmanager
def https_host(folder: Path) -> Iterator[HttpsHost]:
    """A host that serves every repository in `folder`; its own files lie in `folder`/host."""
    own = folder / "host"
    own.mkdir()
    tls = tls_of_localhost(own)
    (own / "token").write_text(f"{TOKEN}\n")
    with serve(lambda handler: _answer(host, handler), tls=tls) as fake:
        host = HttpsHost(folder, fake, own / "ca.pem", own / "token")
        yield host


def tls_of_localhost(folder: Path) -> ssl.SSLContext:
    """A server's side of TLS for localhost; who trusts `folder`/ca.pem trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "ca.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(plain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context


def _answer(host: HttpsHost, handler: Handler) -> None:
    if host.meddle(handler):
        return
    basic = base64.b64encode(f"{USERNAME}:{TOKEN}".encode()).decode()
    given = handler.headers.get("Authorization")
    if given != f"Basic {basic}":
        handler.send_response(401)
        handler.send_header("WWW-Authenticate", 'Basic realm="git"')
        handler.send_header("Content-Length", "0")
        handler.end_headers()
    elif host.is_read_only and "git-receive-pack" in handler.path:
        handler.answer(403, f"forbidden for {TOKEN}".encode(), "text/plain")
    else:
        status, content_type, body = backend(host, handler)
        handler.answer(status, body, content_type)


def backend(host: HttpsHost, handler: Handler) -> tuple[int, str, bytes]:
    """What `git http-backend` answers to the request."""
    path, _, query = handler.path.partition("?")
    ended = subprocess.run(
        ["git", "http-backend"],
        input=handler.body,
        capture_output=True,
        check=True,
        env={
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(host.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_PROTOCOL": handler.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding", ""),
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": handler.command,
            "CONTENT_TYPE": handler.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(handler.body)),
            "REMOTE_USER": USERNAME,
            "REMOTE_ADDR": "127.0.0.1",
        },
    )
    head, _, body = ended.stdout.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    status = int(headers.get("Status", "200").split()[0])
    return status, headers.get("Content-Type", "text/plain"), body


# --- ssh ---


@dataclass
class SshHost:
    """Any path of this machine at `url(path)`; `known_hosts` holds its real key."""

    folder: Path
    port: int

    @property
    def known_hosts(self) -> Path:
        """What an operator wrote with ssh-keyscan, and compared."""
        return self.folder / "known_hosts"

    def url(self, repository: Path) -> str:
        """Of a repository on this machine, for the user who runs the tests."""
        user = pwd.getpwuid(os.getuid()).pw_name
        return f"ssh://{user}@127.0.0.1:{self.port}{repository}"

    def access(self, known_hosts: Path | None = None) -> Access:
        """What opens it."""
        return Access(
            ssh_key_file=self.folder / "user key %h",
            known_hosts_file=known_hosts or self.known_hosts,
        )

    def allow(self, restriction: str = "") -> None:
        """Let the user in, with a restriction as authorized_keys has them."""
        public = (self.folder / "user key %h.pub").read_text()
        (self.folder / "authorized_keys").write_text(f"{restriction} {public}".lstrip())


@contextmanager
def ssh_host(folder: Path) -> Iterator[SshHost]:
    """A real sshd; its files lie in `folder`, whose path may hold what paths may hold."""
    sshd = require("sshd")
    folder.mkdir()
    for name in ("host", "user key %h"):
        make_key(folder / name)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it locks itself in; only root needs it
    host = SshHost(folder, free_port())
    host.allow()
    host.known_hosts.write_text(known_host(host.port, folder / "host.pub"))
    (folder / "sshd_config").write_text(_sshd_config(host))
    with (folder / "log").open("wb") as log:
        argv = [sshd, "-D", "-e", "-f", str(folder / "sshd_config")]
        child = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        _wait_for(host.port, child, folder / "log")
        yield host
    finally:
        child.kill()
        child.wait()


def make_key(path: Path) -> None:
    """A key pair at `path` and `path`.pub."""
    argv = [require("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)]
    subprocess.run(argv, check=True)


def known_host(port: int, public: Path) -> str:
    """The line of a known_hosts file."""
    return f"[127.0.0.1]:{port} {' '.join(public.read_text().split()[:2])}\n"


def _sshd_config(host: SshHost) -> str:
    return f"""
ListenAddress 127.0.0.1:{host.port}
HostKey "{host.folder}/host"
AuthorizedKeysFile "{str(host.folder).replace("%", "%%")}/authorized_keys"
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
"""


def _wait_for(port: int, child: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up and child.poll() is None:
        if is_open(port):
            return
        threading.Event().wait(0.02)
    raise AssertionError(f"sshd does not listen:\n{log.read_text()}")

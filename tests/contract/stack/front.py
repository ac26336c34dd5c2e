"""The tenant's real Nginx in front of any back ends."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.contract.stack.deployment import CONFIG, container
from tests.contract.stack.local import adapt, own_folder, running, subfolder, translated
from tests.ports import free_port
from tests.programs import require

# The Services that its upstreams are to name, with their ports.
SERVICES = {
    "api": "api:3001",
    "grafana": "grafana:3000",
    "admin": "admin:80",
    "node-red": "node-red:1880",
    "influxdb": "influxdb:8086",
    "mosquitto": "mosquitto:9001",
}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Nginx:
    port: int
    folder: Path
    child: subprocess.Popen[bytes]

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] = {}, body: bytes | None = None
    ) -> Answer:
        """One request, its path sent as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def log(self) -> str:
        return (self.folder / "log.txt").read_text("utf-8")


@contextmanager
def nginx(ports: Mapping[str, int]) -> Iterator[Nginx]:
    """Our configuration and the manifest's command; changed are only the port that is listened at,
    folders, and where the Services are.
    """
    program, port = require("nginx"), free_port()
    with own_folder() as folder:
        tmp = subfolder(folder, "tmp")
        adapt(
            CONFIG / "nginx/nginx.conf",
            folder / "nginx.conf",
            {"listen 8080;": f"listen 127.0.0.1:{port};", " /tmp/": f" {tmp}/"},
        )
        adapt(
            CONFIG / "nginx/upstreams.conf",
            folder / "upstreams.conf",
            {f"server {SERVICES[name]};": f"server 127.0.0.1:{at};" for name, at in ports.items()},
        )
        command = translated(container("nginx")["command"], {"/etc/nginx/tenant": str(folder)})
        with running([program, *command[1:]], folder, port) as child:
            yield Nginx(port, folder, child)


@contextmanager
def stand_in(component: str) -> Iterator[Nginx]:
    """A stand-in of the vendor's, which is an nginx, too."""
    program, port = require("nginx"), free_port()
    with own_folder() as folder:
        tmp = subfolder(folder, "tmp")
        for source in (CONFIG / component).iterdir():
            text = source.read_text("utf-8").replace(" /tmp/", f" {tmp}/")
            text = text.replace(f"/etc/{component}", str(folder))
            text = re.sub(r"listen \d+;", f"listen 127.0.0.1:{port};", text)
            (folder / source.name).write_text(text)
        command = translated(container(component)["command"], {f"/etc/{component}": str(folder)})
        with running([program, *command[1:]], folder, port) as child:
            yield Nginx(port, folder, child)

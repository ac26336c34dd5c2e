"""What only tests need: a browser, and servers that are configured or talked to."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tools.search import find
from tools.work import SetupError, run, say, step


@dataclass(frozen=True)
class Neighbor:
    program: str
    package: str  # of Debian and Ubuntu
    tests: str


NEIGHBORS = (
    Neighbor("chromium", "chromium", "browser tests"),
    Neighbor("postgres", "postgresql", "PostgreSQL tests"),
    Neighbor("sshd", "openssh-server", "tests of Git over ssh"),
    Neighbor("nginx", "nginx", "tests of the tenant's Nginx"),
    Neighbor("mosquitto", "mosquitto", "tests of the tenant's MQTT broker"),
    Neighbor("node", "nodejs", "tests of Node-RED's settings"),
)


def ensure(root: Path) -> None:
    """Each neighbor is there, installed if that can be done; else its tests will skip, which is
    said here. With TENANTRY_STRICT=1 a missing one is an error instead.
    """
    if _missing(root) and _may_install():
        try:
            _install(root, _missing(root))
        except SetupError as error:
            say(str(error))
    for neighbor in (missing := _missing(root)):
        say(f"{neighbor.program} is missing: {neighbor.tests} cannot run")
    if missing and os.environ.get("TENANTRY_STRICT") == "1":
        packages = " ".join(neighbor.package for neighbor in missing)
        raise SetupError(
            "TENANTRY_STRICT=1 allows no skipped tests", f"as root: apt-get install {packages}"
        )


def _missing(root: Path) -> list[Neighbor]:
    return [neighbor for neighbor in NEIGHBORS if find(neighbor.program, root=root) is None]


def _may_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _install(root: Path, neighbors: list[Neighbor]) -> None:
    packages = [neighbor.package for neighbor in neighbors]
    # RUNLEVEL=1: the package brings a server to run, but must not start one.
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    failure = f"cannot install {', '.join(packages)}"
    remedy = "check apt's sources and the network"
    with step(root, f"installing {', '.join(packages)} for tests (once, about a minute)"):
        run(["apt-get", "-q", "update"], root=root, env=env, failure=failure, remedy=remedy)
        run(
            ["apt-get", "-qy", "install", "--no-install-recommends", *packages],
            root=root,
            env=env,
            failure=failure,
            remedy=remedy,
        )

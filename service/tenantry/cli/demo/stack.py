"""The processes of the demo: web, worker and stand-in, wired to each other in one folder."""

from __future__ import annotations

import contextlib
import json
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from tenantry.adapters import process
from tenantry.adapters.git import create_bare
from tenantry.adapters.http import make_session
from tenantry.cli.demo.product import serve_product
from tenantry.core.errors import ProgramError, SettingsError
from tenantry.devcluster.provider import Provider
from tenantry.flows import keys
from tenantry.settings import Settings

SESSION = make_session()
STARTS_WITHIN = 60.0  # seconds
STOPS_WITHIN = 15.0  # seconds
ACCOUNTS = ("tenantry", "reader", "nobody")
# for products whose images are private; the stand-in pulls none
_NO_REGISTRY = {"auths": {"registry.localhost": {"auth": "ZGVtbzpkZW1v"}}}


@dataclass(frozen=True)
class Stack:
    """Where the demo's parts are."""

    data: Path
    port: int
    product: Path  # the vendor's folder
    is_reviewed: bool = False  # every change waits for a person who merges it
    days_a_second: float = 0.0  # that the time of the demo is faster by

    @property
    def signup_url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def stand_in_url(self) -> str:
        return f"http://localhost:{self.port + 1}"

    @property
    def reviews_url(self) -> str:
        return f"{self.stand_in_url}/reviews"

    @property
    def served_product(self) -> Path:
        """The product that the service has: the vendor's, paid at the stand-in."""
        return self.data / "served-product"

    @property
    def provider(self) -> Provider:
        """Tells the service what was paid."""
        return Provider(self.signup_url, self.billing_secret)

    @property
    def repository(self) -> Path:
        return self.data / "tenants.git"

    @property
    def keys(self) -> Path:
        return self.data / "keys"

    @property
    def registry_credentials(self) -> Path:
        return self.keys / "registry.json"

    @property
    def billing_secret(self) -> Path:
        return self.keys / "billing.secret"

    @property
    def environment(self) -> Path:
        """A shell that reads it has `tenantry` and the settings of this demo."""
        return self.data / "env"

    @property
    def clock(self) -> Path:
        """How far this folder's time is ahead of the real one; missing: not at all."""
        return self.data / "clock"

    @property
    def mail(self) -> Path:
        return self.data / "mail"

    @property
    def logs(self) -> Path:
        return self.data / "logs"


@dataclass
class Parts:
    """The demo's processes, by name."""

    logs: Path
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def check(self) -> None:
        """ProgramError where one of them has ended."""
        for name, child in self.children.items():
            if child.poll() is not None:
                log = self.logs / f"{name}.log"
                raise ProgramError(f"the demo's {name} has ended", remedy=f"its log is {log}")


@contextmanager
def running(stack: Stack) -> Iterator[Parts]:
    """All parts up; all of them gone at the end, however it ends."""
    _require_free_ports(stack)
    prepare(stack)
    parts = Parts(stack.logs)
    try:
        for name, argv in _commands(stack).items():
            log = stack.logs / f"{name}.log"
            parts.children[name] = process.start(argv, env=environment_of(stack), log=log)
        _wait_until(lambda: _answers(f"{stack.stand_in_url}/healthz"), parts)
        _wait_until(lambda: _answers(f"{stack.signup_url}/readyz"), parts)
        yield parts
    finally:
        _stop(list(parts.children.values()))


def _require_free_ports(stack: Stack) -> None:
    """Or the demo would talk to whatever else answers there."""
    for port in (stack.port, stack.port + 1):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise SettingsError(
                    f"port {port}: {error.strerror}", remedy="choose another with --port"
                ) from None


def prepare(stack: Stack) -> None:
    """The folder, with an empty tenants repository, keys and tokens, which are kept where they are
    there, and the product; ProductError for what of it is not usable.
    """
    for folder in (stack.data, stack.logs):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"{folder}: {error.strerror}", remedy="choose another folder with --data"
            ) from None
    serve_product(stack.product, stack.served_product, stand_in_url=stack.stand_in_url)
    if not (stack.repository / "HEAD").exists():
        create_bare(stack.repository)
    keys.make_development_keys(stack.keys, algorithm="EdDSA")
    keys.make_sealing_pair(stack.keys, datetime.now(UTC))
    tokens = [stack.keys / f"argocd-{account}.token" for account in ACCOUNTS]
    for path in (*tokens, stack.keys / "webhook.secret", stack.billing_secret):
        if not path.exists():
            _keep_secret(path, secrets.token_urlsafe(32))
    _keep_secret(stack.registry_credentials, json.dumps(_NO_REGISTRY))
    _keep_secret(stack.environment, _for_a_shell(stack))


def _for_a_shell(stack: Stack) -> str:
    places = {
        "SIGNUP": stack.signup_url,
        "REPOSITORY": str(stack.repository),
        "BILLING_SECRET": str(stack.billing_secret),
        "TENANTRY_PRODUCT_DIR": str(stack.product),  # as it is by then, to publish from
    }
    exports = {name: shlex.quote(value) for name, value in (_settings(stack) | places).items()}
    exports["PATH"] = f'{shlex.quote(str(Path(sys.executable).parent))}:"$PATH"'
    return "".join(f"export {name}={value}\n" for name, value in exports.items())


def _keep_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _commands(stack: Stack) -> Mapping[str, list[str]]:
    tenantry = [sys.executable, "-m", "tenantry"]
    return {
        "stand-in": [
            *tenantry, "dev", "cluster", "--port", str(stack.port + 1),
            "--repository", str(stack.repository),
            "--sealing-key", str(stack.keys / keys.SEALING_KEY),
            "--token-file", str(stack.keys / "argocd-tenantry.token"),
            "--webhook-secret-file", str(stack.keys / "webhook.secret"),
            "--poll-seconds", "10",
            "--clock-file", str(stack.clock),
            "--payments-to", stack.signup_url,
            "--payments-secret-file", str(stack.billing_secret),
            "--product", str(stack.served_product),
        ],
        "worker": [*tenantry, "worker"],
        "web": [*tenantry, "serve"],
    }  # fmt: skip


def settings_of(stack: Stack) -> dict[str, Any]:
    """The settings that web and worker run with, by name."""
    stand_in = f"127.0.0.1:{stack.port + 1}"
    return {
        "data_dir": str(stack.data),
        "product_dir": str(stack.served_product),
        "port": stack.port,
        "public_url": stack.signup_url,
        "watch_poll": 0.5,
        "watch_idle": 2,
        # as many real seconds as without flying
        "watch_silence": Settings.model_fields["watch_silence"].default
        * (1 + 86_400 * stack.days_a_second),
        "review_poll": 0.5,
        "mail_poll": 0.2,
        "lifecycle_poll": 0.2,
        "billing_secret_file": str(stack.billing_secret),
        "billing_scheme": "hmac",
        "clock_file": str(stack.clock),
        "cells": {
            "main": {
                "repository_url": str(stack.repository),
                "domain": "localhost",
                "instance_url": f"http://{{host}}:{stack.port + 1}",
                "probe_connect_to": stand_in,
                "sealing_certificate": str(stack.keys / keys.SEALING_CERTIFICATE),
                "registry_credentials_file": str(stack.registry_credentials),
                "argocd_url": f"http://{stand_in}",
                "argocd_token_file": str(stack.keys / "argocd-tenantry.token"),
                "argocd_repository_url": "http://git.localhost/tenants.git",
                "argocd_webhook_url": f"http://{stand_in}/api/webhook",
                "argocd_webhook_secret_file": str(stack.keys / "webhook.secret"),
                "review_everything": stack.is_reviewed,
            }
        },
    }


def environment_of(stack: Stack) -> dict[str, str]:
    """The variables that web and worker run with."""
    return {"HOME": str(stack.data), **_settings(stack)}


def _settings(stack: Stack) -> dict[str, str]:
    return {
        f"TENANTRY_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in settings_of(stack).items()
    }


def _wait_until(condition: Callable[[], bool], parts: Parts) -> None:
    give_up = time.monotonic() + STARTS_WITHIN
    while not condition():
        parts.check()
        if time.monotonic() > give_up:
            raise ProgramError("the demo did not start", remedy=f"its logs are in {parts.logs}")
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        return SESSION.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def _stop(children: list[subprocess.Popen[bytes]]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # stopping is not to be interrupted
    for child in reversed(children):
        child.terminate()
    give_up = time.monotonic() + STOPS_WITHIN
    for child in children:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(max(0.1, give_up - time.monotonic()))
        process.kill_group(child)

"""What the stand-in is told: where Git is, who may ask, and how fast time goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tenantry.core.product import Product
from tenantry.devcluster.provider import Provider

ACCOUNTS = ("tenantry", "reader", "nobody")


@dataclass(frozen=True)
class Payments:
    """What is paid at the stand-in's page, and who tells the service of it."""

    product: Product
    provider: Provider


@dataclass(frozen=True)
class DevClusterSettings:
    """Settings of one `DevCluster`. All durations are in seconds."""

    repository: str  # the tenants repository: path of a bare repository, or a URL to clone
    sealing_key: Path  # PEM private key that opens the SealedSecrets
    tokens: Mapping[str, str] = field(repr=False)  # account (see ACCOUNTS) -> its API token
    webhook_secret: str = field(repr=False)  # signs pushes to /api/webhook
    port: int = 3101  # 0: any free one; `DevCluster.port` says which
    host: str = "127.0.0.1"  # address to listen on
    own_hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "::1")  # Host of API and page
    step_seconds: float = 0.3  # between two states of an Application
    poll_seconds: float = 180.0  # Argo CD's default; a nudge makes it sooner
    time_scale: float = 0.1  # of retry backoffs and progress deadlines; 1.0: as in Argo CD
    project: str = "tenants"  # the AppProject that the accounts' rights are about
    audience: str | None = None  # the license's `aud` that the product insists on; None: any
    payments: Payments | None = None  # None: nothing is paid here
    kustomize: str = "kustomize"
    kubeseal: str = "kubeseal"
    program_deadline: float = 60.0
    builders: int = 2  # kustomize builds at once
    stream_buffer: int = 1000  # events kept for a slow reader of the stream; further ones are lost

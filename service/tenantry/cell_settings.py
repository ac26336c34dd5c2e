"""What an operator sets of one cell: `TENANTRY_CELLS__<CELL>__<NAME>`."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, HttpUrl, field_validator

from tenantry.core.review import ChangeKind, Mode, Policy
from tenantry.core.shards import is_count
from tenantry.settings_base import SettingsBase

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class CellSettings(SettingsBase):
    """One tenants repository with the Argo CD, sealing certificate and domain that belong to it."""

    repository_url: str = Field("", description="Git URL or path of the tenants repository")
    git_username: str = Field(
        "x-access-token",
        pattern=r"^[!-9;-~]+$",
        description="user that the token is sent with; most hosts take any",
    )
    git_token_file: Path | None = Field(
        None, description="file with the token for an https repository; read each time git asks"
    )
    git_ca_file: Path | None = Field(
        None, description="CA certificates to trust for an https repository, not the system's"
    )
    git_ssh_key_file: Path | None = Field(
        None, description="private key for an ssh repository, without passphrase"
    )
    git_known_hosts_file: Path | None = Field(
        None, description="host keys of an ssh repository; no other is accepted"
    )
    git_deadline: Seconds = Field(
        60.0, description="seconds for an exchange with the repository; the first has 30 minutes"
    )
    shards: int = Field(
        64,
        ge=1,
        le=256,
        description="ApplicationSets that share the tenants: a power of two, 256 at most",
    )
    domain: str = Field("localhost", description="tenants answer at <customer-id>.<domain>")
    instance_url: str = Field(
        "https://{host}",
        pattern=r"^https?://[^/]*\{host\}",
        description="URL of an instance; {host} is <customer-id>.<domain>",
    )
    ingress_class: str = Field("nginx", description="ingressClassName of the tenants' Ingress")
    ingress_annotations: dict[str, str] = Field(
        {}, description="annotations of the Ingress, as JSON: what the controller asks for"
    )
    ingress_namespace: str = Field(
        "ingress-nginx",
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        description="namespace of the ingress controller; its pods may reach the tenants'",
    )
    ingress_cidrs: tuple[str, ...] = Field(
        (),
        description="addresses that may reach them too, as a JSON list: the nodes', for a "
        "controller on the hosts' network",
    )
    cluster_issuer: str = Field(
        "letsencrypt-prod",
        description="cert-manager ClusterIssuer; empty: the ingress controller's own certificate "
        "is good for every host",
    )
    volumes_grow: bool = Field(
        True,
        description="a larger plan brings its larger volumes; false where the cluster's default "
        "storage class does not allow expansion: volumes keep their sizes. Once it does, set it "
        "back to true, then `tenants plan CUSTOMER PLAN` with the plan a tenant has",
    )
    sealing_certificate: Path | None = Field(
        None, description="PEM file with the sealed-secrets controller's certificate"
    )
    sealing_fingerprint: str | None = Field(
        None, description="SHA-256 fingerprint that the sealing certificate must have"
    )
    registry_credentials_file: Path | None = Field(
        None,
        description="Docker configuration (JSON) with credentials for the product's private images",
    )
    argocd_url: HttpUrl | None = Field(None, description="base URL of Argo CD's API")
    argocd_token_file: Path | None = Field(None, description="file with the account's token")
    argocd_ca_file: Path | None = Field(None, description="CA certificates to trust for Argo CD")
    argocd_repository_url: str | None = Field(
        None, description="the repository's URL as Argo CD knows it; default: repository_url"
    )
    argocd_webhook_url: HttpUrl | None = Field(
        None, description="ApplicationSet controller's webhook, told of each push"
    )
    argocd_webhook_secret_file: Path | None = Field(
        None, description="file with the secret that signs those messages"
    )
    review_everything: bool = Field(
        False, description="every change to a tenant waits for a person who merges it"
    )
    review_signup: Mode = Field(Mode.DIRECT, description="direct, or review: new tenants")
    review_license: Mode = Field(Mode.DIRECT, description="the same of licenses")
    review_state: Mode = Field(Mode.DIRECT, description="of suspension, read-only and back")
    review_plan: Mode = Field(
        Mode.REVIEW, description="of plans; one that was paid for is direct, unless all is reviewed"
    )
    review_platform: Mode = Field(Mode.REVIEW, description="of platform versions")
    review_delete: Mode = Field(Mode.REVIEW, description="of deletion")
    review_signups_together: bool = Field(
        True, description="several signups that wait share one pull request"
    )
    forge: Literal["none", "github", "gitlab", "gitea"] = Field(
        "none", description="where pull requests are opened; none: a branch is all there is"
    )
    forge_url: HttpUrl | None = Field(
        None, description="base URL of the forge; default: https and the repository's host"
    )
    forge_project: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)+$",
        description="owner/name at the forge; default: as in repository_url",
    )
    forge_token_file: Path | None = Field(
        None, description="file with the API token; default: git_token_file"
    )
    forge_ca_file: Path | None = Field(
        None, description="CA certificates to trust for the forge; default: git_ca_file"
    )
    forge_webhook_secret_file: Path | None = Field(
        None, description="file with the secret that signs the forge's webhooks"
    )
    forge_labels: tuple[str, ...] = Field(
        ("tenantry",), description="labels of pull requests, as a JSON list"
    )
    forge_reviewers: tuple[str, ...] = Field(
        (), description="who is asked to review, as a JSON list; empty: CODEOWNERS decides"
    )
    forge_auto_merge: bool = Field(
        False, description="ask the forge to merge once checks and reviews allow it"
    )
    instance_ca_file: Path | None = Field(
        None, description="CA certificates to trust for instances, instead of the system's"
    )
    argocd_notifications_token_file: Path | None = Field(
        None, description="file with the token that Argo CD's notifications carry"
    )
    instance_private: bool | None = Field(
        None,
        description="instances may have private addresses; default: in development, and where "
        "probe_connect_to is set",
    )
    probe_connect_to: str | None = Field(
        None, description="host:port to reach instances at, instead of what DNS says"
    )

    @field_validator("shards")
    @classmethod
    def _is_count(cls, shards: int) -> int:
        if not is_count(shards):
            raise ValueError("is no power of two, such as 64: each has as many folders as others")
        return shards

    @field_validator("repository_url", "argocd_repository_url")
    @classmethod
    def _holds_no_credentials(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "")
        if parts.password or (parts.username and parts.scheme in ("http", "https")):
            raise ValueError(
                "holds credentials, which would end up in Git and in logs; name files that hold "
                "them in GIT_TOKEN_FILE (https) or GIT_SSH_KEY_FILE (ssh) of the cell"
            )
        return url

    @field_validator("ingress_cidrs")
    @classmethod
    def _are_networks(cls, cidrs: tuple[str, ...]) -> tuple[str, ...]:
        for cidr in cidrs:
            ip_network(cidr)
        return cidrs

    @property
    def policy(self) -> Policy:
        """Which changes wait for a review."""
        modes = {kind: getattr(self, f"review_{kind}") for kind in ChangeKind}
        return Policy(self.review_everything, modes, self.review_signups_together)

    @property
    def repository_url_for_argocd(self) -> str:
        """The URL that Argo CD reads from."""
        return self.argocd_repository_url or self.repository_url

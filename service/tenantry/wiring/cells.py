"""One cell of the service from its settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tenantry import assets
from tenantry.adapters.argocd import ArgoCD, announce_push
from tenantry.adapters.argocd.webhook import web_url
from tenantry.adapters.database.lease import Lease
from tenantry.adapters.database.session import Database
from tenantry.adapters.forge import Forge, make_forge
from tenantry.adapters.git import (
    KNOWN_HOSTS_REMEDY,
    NO_COMMIT,
    TRANSPORTS,
    Access,
    TenantsRepository,
    transport,
)
from tenantry.adapters.http import make_session
from tenantry.adapters.kustomize import Kustomize
from tenantry.adapters.probe import answers, read_json
from tenantry.adapters.product_folder import (
    ProductFolder,
    read_files,
)
from tenantry.adapters.seal import SealingCertificate, parse_certificate
from tenantry.core.argocd_files import PROJECT, ArgoCDFacts, render_argocd
from tenantry.core.errors import KeysMissing, SettingsError
from tenantry.core.overlay import CellFacts
from tenantry.core.pull_secret import check_credentials
from tenantry.flows import keys
from tenantry.flows.class_check import ClassChecker
from tenantry.flows.service import Announce, Cell
from tenantry.settings import CellSettings, Settings, read_secret


def reader(path: Path | None) -> Callable[[], str] | None:
    """Of a secret that messages are proved with, read anew for each of them."""
    return partial(read_secret, path) if path else None


PROBE_WITHIN = 5.0  # seconds


FORGE_WITHIN = 20.0  # seconds for one request


_ARGOCD = "argocd/"


def make_cell(
    name: str, cell: CellSettings, settings: Settings, folder: ProductFolder, database: Database
) -> Cell:
    kustomize = Kustomize("kustomize")
    way = _way(cell, production=settings.is_production)
    return Cell(
        name=name,
        domain=cell.domain,
        instance_url=cell.instance_url,
        repository=TenantsRepository(
            cell.repository_url,
            settings.data_dir / "clones" / f"{name}.git",
            deadline=cell.git_deadline,
            access=git_access(name, cell, production=settings.is_production),
        ),
        lease=Lease(database, f"publisher/{name}"),
        policy=cell.policy,
        volumes_grow=cell.volumes_grow,
        forge=forge(name, cell),
        webhook_secret=reader(cell.forge_webhook_secret_file),
        notifications_token=reader(cell.argocd_notifications_token_file),
        shards=cell.shards,
        founding_files=_founding_files(cell),
        certificate=partial(sealing_certificate, cell, production=settings.is_production),
        registry_credentials=partial(registry_credentials, name, cell),
        checker=ClassChecker(kustomize, folder.product, folder.templates),
        facts=CellFacts(
            cell.ingress_class,
            cell.ingress_annotations,
            cell.cluster_issuer,
            cell.ingress_namespace,
            cell.ingress_cidrs,
        ),
        argocd=argocd(cell),
        announce=_announce(cell),
        probe=partial(answers, **way),
        ask=partial(read_json, **way),
    )


def git_access(name: str, cell: CellSettings, *, production: bool) -> Access:
    """How the cell's repository is let in; SettingsError for what git could not use."""
    variable = f"TENANTRY_CELLS__{name.upper()}__"
    kind = transport(cell.repository_url)
    if kind not in TRANSPORTS:
        raise SettingsError(
            f"{variable}REPOSITORY_URL: {kind} is not supported",
            remedy="give an https or ssh URL, or a path",
        )
    for setting in _GIT_FILES[kind]:
        path = getattr(cell, setting)
        if path is not None:
            _check_git_file(variable + setting.upper(), path)
        elif kind == "ssh" and production:
            raise SettingsError(
                f"{variable}{setting.upper()} is not set", remedy=_GIT_HINT[setting]
            )
    return Access(
        cell.git_username,
        cell.git_token_file,
        cell.git_ca_file,
        cell.git_ssh_key_file,
        cell.git_known_hosts_file,
    )


_GIT_FILES: dict[str, tuple[str, ...]] = {
    "file": (),
    "https": ("git_token_file", "git_ca_file"),
    "ssh": ("git_ssh_key_file", "git_known_hosts_file"),
}


_GIT_HINT = {
    "git_ssh_key_file": "ssh-keygen -t ed25519, and give the host the public key as a deploy key",
    "git_known_hosts_file": KNOWN_HOSTS_REMEDY,
}


def _check_git_file(variable: str, path: Path) -> None:
    try:
        read_secret(path)
    except SettingsError as error:
        raise SettingsError(f"{variable}: {error.message}", remedy=error.remedy) from None
    facts = path.stat()
    if variable.endswith("SSH_KEY_FILE") and facts.st_uid == os.geteuid() and facts.st_mode & 0o077:
        raise SettingsError(
            f"{variable}: others may read {path}, so ssh refuses it", remedy=f"chmod 600 {path}"
        )


def _founding_files(cell: CellSettings) -> dict[str, bytes]:
    files = read_files(assets.path("tenants"))
    facts = ArgoCDFacts(cell.repository_url_for_argocd, cell.instance_url, cell.shards)
    argocd_files = {
        path.removeprefix(_ARGOCD): files.pop(path)
        for path in list(files)
        if path.startswith(_ARGOCD)
    }
    rendered = render_argocd(argocd_files, facts)
    return files | {f"{_ARGOCD}{path}": content for path, content in rendered.items()}


def sealing_certificate(cell: CellSettings, *, production: bool) -> SealingCertificate:
    """The certificate that the cell's secrets are sealed with; SettingsError where unusable,
    KeysMissing where production is given one that was made for development.
    """
    if cell.sealing_certificate is None:
        raise SettingsError(
            "the cell has no sealing certificate",
            remedy="kubeseal --fetch-cert > sealing.crt, and set "
            "TENANTRY_CELLS__<CELL>__SEALING_CERTIFICATE",
        )
    pem = read_secret(cell.sealing_certificate)
    if production and keys.is_development_key(pem):
        raise KeysMissing(
            f"{cell.sealing_certificate} is a development certificate",
            remedy="kubeseal --fetch-cert > sealing.crt, from the cluster's controller",
        )
    return parse_certificate(pem + "\n", pinned=cell.sealing_fingerprint)


def registry_credentials(name: str, cell: CellSettings) -> str:
    """The credentials that the product's private images are pulled with, as Docker has them;
    SettingsError where there are none, or none that a cluster could use.
    """
    variable = f"TENANTRY_CELLS__{name.upper()}__REGISTRY_CREDENTIALS_FILE"
    if cell.registry_credentials_file is None:
        raise SettingsError(
            "the product's images are private, and the cell has no credentials for them",
            remedy=f"set {variable} to a Docker configuration; see docs/tenants-repository.md",
        )
    text = read_secret(cell.registry_credentials_file)
    try:
        check_credentials(text)
    except ValueError as error:
        raise SettingsError(
            f"{variable}: {cell.registry_credentials_file} {error}", remedy=_CREDENTIALS_HINT
        ) from None
    return text


_CREDENTIALS_HINT = (
    'it holds {"auths": {"<registry>": {"auth": "<base64 of user:token>"}}}, as `kubectl create '
    "secret docker-registry` makes it"
)


def argocd(cell: CellSettings) -> ArgoCD | None:
    """The cell's Argo CD; None where none is set. Its token is read anew for each request."""
    if cell.argocd_url is None:
        return None
    if cell.argocd_token_file is None:
        raise SettingsError(
            "Argo CD has a URL and no token", remedy="set TENANTRY_CELLS__<CELL>__ARGOCD_TOKEN_FILE"
        )
    return ArgoCD(
        str(cell.argocd_url),
        partial(read_secret, cell.argocd_token_file),
        PROJECT,
        ca=cell.argocd_ca_file,
    )


def forge(name: str, cell: CellSettings) -> Forge | None:
    """Where the cell's pull requests are opened; None where no forge is set. SettingsError names
    what is missing. The token is read anew for each request.
    """
    if cell.forge == "none":
        return None
    variable = f"TENANTRY_CELLS__{name.upper()}__"
    url, project = _place(cell)
    if not url or "/" not in project:
        raise SettingsError(
            f"{variable}REPOSITORY_URL does not tell host and project at the forge",
            remedy=f"set {variable}FORGE_URL and {variable}FORGE_PROJECT",
        )
    token_file = cell.forge_token_file or cell.git_token_file
    if token_file is None:
        raise SettingsError(
            f"{variable}FORGE_TOKEN_FILE is not set",
            remedy="name a file with a token that may push and open pull requests",
        )
    return make_forge(
        cell.forge,
        url=url,
        project=project,
        token=partial(read_secret, token_file),
        ca_file=cell.forge_ca_file or cell.git_ca_file,
        deadline=FORGE_WITHIN,
        labels=cell.forge_labels,
        reviewers=cell.forge_reviewers,
        auto_merge=cell.forge_auto_merge,
    )


def _place(cell: CellSettings) -> tuple[str, str]:
    """URL and project at the forge, each as set or as in the repository's URL; empty: unknown."""
    try:
        page = urlsplit(web_url(cell.repository_url))
    except SettingsError:  # a path
        return str(cell.forge_url or ""), cell.forge_project or ""
    host = page.hostname if transport(cell.repository_url) == "ssh" else page.netloc  # its own port
    return str(cell.forge_url or f"https://{host}"), cell.forge_project or page.path.strip("/")


def _announce(cell: CellSettings) -> Announce | None:
    if cell.argocd_webhook_url is None:
        return None
    if cell.argocd_webhook_secret_file is None:
        raise SettingsError(
            "a webhook has a URL and no secret",
            remedy="set TENANTRY_CELLS__<CELL>__ARGOCD_WEBHOOK_SECRET_FILE",
        )
    url, secret_file = str(cell.argocd_webhook_url), cell.argocd_webhook_secret_file
    session = make_session(cell.argocd_ca_file)

    def announce(branch: str, before: str | None, after: str, paths: Sequence[str]) -> None:
        announce_push(
            session,
            url,
            read_secret(secret_file),
            repository_url=cell.repository_url_for_argocd,
            branch=branch,
            before=before or NO_COMMIT,
            after=after,
            paths=paths,
        )

    return announce


def _way(cell: CellSettings, *, production: bool) -> dict[str, Any]:
    """How instances are asked."""
    private = cell.instance_private
    if private is None:
        private = not production or cell.probe_connect_to is not None
    return {
        "connect_to": _address(cell),
        "deadline": PROBE_WITHIN,
        "ca": cell.instance_ca_file,
        "private": private,
    }


def _address(cell: CellSettings) -> tuple[str, int] | None:
    if cell.probe_connect_to is None:
        return None
    host, _, port = cell.probe_connect_to.rpartition(":")
    if not host or not port.isdecimal():
        raise SettingsError("probe_connect_to is not host:port", remedy="such as 127.0.0.1:8443")
    return host, int(port)

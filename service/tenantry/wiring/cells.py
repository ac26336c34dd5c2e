"""One cell of the service from its settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tenantry import assets
from tenantry.adapters.argocd import ArgoCD, announce_push
from tenantry.adapters.database.lease import Lease
from tenantry.adapters.database.session import Database
from tenantry.adapters.git import NO_COMMIT, TenantsRepository
from tenantry.adapters.http import make_session
from tenantry.adapters.kustomize import Kustomize
from tenantry.adapters.probe import answers, read_json
from tenantry.adapters.product_folder import ProductFolder, read_files
from tenantry.adapters.seal import SealingCertificate, parse_certificate
from tenantry.core.argocd_files import PROJECT, ArgoCDFacts, render_argocd
from tenantry.core.errors import KeysMissing, SettingsError
from tenantry.core.overlay import CellFacts
from tenantry.core.pull_secret import check_credentials
from tenantry.flows import keys
from tenantry.flows.class_check import ClassChecker
from tenantry.flows.service import Announce, Cell
from tenantry.settings import CellSettings, Settings, read_secret
from tenantry.wiring.hosts import forge, git_access

PROBE_WITHIN = 5.0  # seconds

_ARGOCD = "argocd/"
_CREDENTIALS_HINT = (
    'it holds {"auths": {"<registry>": {"auth": "<base64 of user:token>"}}}, as `kubectl create '
    "secret docker-registry` makes it"
)


def reader(path: Path | None) -> Callable[[], str] | None:
    """Of a secret that messages are proved with, read anew for each of them."""
    return partial(read_secret, path) if path else None


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

"""What is wrong with this installation: every setting, key, program and neighbor is looked at.

Each finding has an id, which is stable and stands in the runbooks, and a remedy.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial

from tenantry import reach, wiring
from tenantry.adapters import process
from tenantry.adapters.argocd import ArgoCD
from tenantry.adapters.database import schema
from tenantry.adapters.database.tables import Platform
from tenantry.adapters.git import remote_head
from tenantry.adapters.kustomize import KUSTOMIZE_REMEDY
from tenantry.adapters.product_folder import ProductFolder, read_product_folder
from tenantry.adapters.seal import KUBESEAL_REMEDY
from tenantry.adapters.smtp import SmtpServer
from tenantry.core.argocd_files import BRANCH
from tenantry.core.errors import ProductError, ProgramError, SettingsError, TenantryError
from tenantry.core.gittree import folder_id
from tenantry.core.pull_secret import check_credentials
from tenantry.environment import unknown_variables
from tenantry.flows import keys, platform_records
from tenantry.flows.attention import Finding, look
from tenantry.settings import CellSettings, Settings, load

MINIMUM = {"git": (2, 39), "kubeseal": (0, 38, 4), "kustomize": (5, 8)}
VERSION_ARGUMENTS = {"git": "--version", "kubeseal": "--version", "kustomize": "version"}
REMEDIES = {
    "git": "install git 2.39 or newer",
    "kubeseal": KUBESEAL_REMEDY,
    "kustomize": KUSTOMIZE_REMEDY,
}
SEE_SETTINGS = "see docs/settings.md"
EXPIRES_SOON = timedelta(days=14)


def examine_environment() -> Iterator[Finding]:
    """Every finding of what the environment sets; only the one where that is not valid."""
    try:
        settings = load()
    except SettingsError as error:
        yield Finding("settings.valid", error.message, error.remedy or SEE_SETTINGS)
        return
    yield Finding("settings.valid", f"settings for {settings.environment}")
    yield from examine(settings)


def examine(settings: Settings) -> Iterator[Finding]:
    """Every finding, good and bad, one after another."""
    yield _settings()
    for program in MINIMUM:
        yield _try(f"program.{program}", partial(_program, program))
    yield _try("keys.license", partial(_license_keys, settings))
    yield _try("keys.vault", partial(_vault, settings))
    yield _try("product.files", partial(_product, settings))
    yield _try("database.reachable", partial(_database, settings))
    place = "mail.server" if settings.smtp_host else "mail.folder"
    yield _try(place, partial(_mail, settings))
    yield _try("limits.address", partial(_address_limit, settings))
    yield _try("public.url", partial(reach.customers, settings))
    yield _try("metrics.token", partial(reach.metrics, settings))
    vendor = _vendor(settings)
    if vendor:
        yield _try("mail.support", partial(reach.support, settings, vendor.product))
        yield _try("billing.webhook", partial(reach.billing, settings, vendor.product))
    yield from _rows(settings)
    for name, cell in settings.cells.items():
        yield _try(f"cell.{name}.repository", partial(_repository, cell, name, settings))
        yield _try(f"cell.{name}.platform", partial(_platform, name, vendor, settings))
        yield _try(f"cell.{name}.sealing", partial(_sealing, cell, settings))
        if vendor and vendor.product.pull_secret:
            yield _try(f"cell.{name}.images", partial(_images, cell, name))
        yield _try(f"cell.{name}.argocd", partial(_argocd, cell))
        if cell.forge != "none":
            yield _try(f"cell.{name}.forge", partial(_forge, cell, name))


def _try(finding_id: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(finding_id, look())
    except TenantryError as error:
        return Finding(finding_id, error.message, error.remedy or SEE_SETTINGS)


def _settings() -> Finding:
    unknown = unknown_variables(Settings.model_fields)
    if not unknown:
        return Finding("settings.known", "every TENANTRY_ variable is a setting")
    names = ", ".join(unknown)
    return Finding("settings.known", f"no such setting: {names}", SEE_SETTINGS)


def _program(name: str) -> str:
    path = process.find_program(name, remedy=REMEDIES[name])
    version = process.version_of([path, VERSION_ARGUMENTS[name]])
    text = ".".join(str(part) for part in version) or "of an unknown version"
    if version < MINIMUM[name]:
        raise ProgramError(f"{path} is {text}, which is too old", remedy=REMEDIES[name])
    return f"{path} is {text}"


def _license_keys(settings: Settings) -> str:
    _make_keys(settings)
    keyring = keys.load_keyring(settings.keys, production=settings.is_production)
    return f"licenses are signed with {keyring.signing.algorithm} key {keyring.signing.kid}"


def _vault(settings: Settings) -> str:
    _make_keys(settings)
    keys.load_vault(settings.keys, production=settings.is_production)
    return f"{settings.keys / keys.VAULT_KEYS} is usable"


def _make_keys(settings: Settings) -> None:
    if not settings.is_production:
        keys.make_development_keys(settings.keys, algorithm=settings.license_algorithm)


def _vendor(settings: Settings) -> ProductFolder | None:
    """The product's folder; None where it cannot be read, which is a finding of its own."""
    try:
        return read_product_folder(settings.product_dir)
    except ProductError:
        return None


def _product(settings: Settings) -> str:
    product = read_product_folder(settings.product_dir).product
    wiring.mail_templates(settings)
    return f"{product.title}: {len(product.plans)} plans, platform {product.platform}"


def _database(settings: Settings) -> str:
    wiring.make_data_folder(settings)
    with closing(wiring.open_database(settings)) as database:
        kind, revision = database.engine.dialect.name, schema.current(database)
    if revision == schema.head():
        return f"{kind} at {revision}"
    if not settings.is_production:
        return f"{kind} at {revision or 'nothing'}; brought up to date at start"
    raise SettingsError(
        f"the database is at {revision or 'nothing'}, not at {schema.head()}",
        remedy="run `tenantry db upgrade`",
    )


def _rows(settings: Settings) -> list[Finding]:
    """What the rows say; nothing where they cannot be read, which is a finding of its own."""
    try:
        with closing(wiring.open_database(settings)) as database:
            if schema.current(database) != schema.head():
                return []
            with database.read() as session:
                return list(look(session, datetime.now(UTC)))
    except TenantryError:
        return []


def _mail(settings: Settings) -> str:
    mailbox = wiring.mailbox(settings)
    if isinstance(mailbox, SmtpServer):
        return mailbox.check()
    with contextlib.suppress(OSError):
        settings.mail.mkdir(parents=True, exist_ok=True)
    if not settings.mail.is_dir() or not os.access(settings.mail, os.W_OK):
        raise SettingsError(f"{settings.mail} is not writable", remedy="set TENANTRY_MAIL_DIR")
    return f"mail goes to files in {settings.mail}"


def _address_limit(settings: Settings) -> str:
    """Nobody can tell from here what stands in front; so it is said, and never wrong."""
    limits = {"signups": settings.signup_limits, "logins": settings.login_limits}
    limited = " and ".join(name for name, each in limits.items() if each.address)
    trusted = settings.trusted_proxies
    if not limited:
        return "neither signups nor logins are limited by address"
    if trusted:
        return f"{limited} are limited by the address that the outermost of {trusted} proxies saw"
    return (
        f"{limited} are limited by the connection's own address; behind proxies all customers "
        "share one: set TENANTRY_TRUSTED_PROXIES there"
    )


def _repository(cell: CellSettings, name: str, settings: Settings) -> str:
    if not cell.repository_url:
        raise SettingsError(
            "no tenants repository is set",
            remedy=f"set TENANTRY_CELLS__{name.upper()}__REPOSITORY_URL",
        )
    access = wiring.git_access(name, cell, production=settings.is_production)
    head = remote_head(cell.repository_url, BRANCH, access=access)
    return f"{BRANCH} is at {head[:12]}" if head else "reachable, and empty"


def _platform(name: str, vendor: ProductFolder | None, settings: Settings) -> str:
    """Whether the product's folder is what the cell's tenants of that version run."""
    unread = "not compared: product and database must be readable first"
    if vendor is None:
        return unread
    version = vendor.product.platform
    try:
        known = _read_platform(name, version, settings)
    except TenantryError:  # which has a finding of its own
        return unread
    if change := platform_records.find_change(version, folder_id(vendor.platform), known):
        raise SettingsError(change, remedy=platform_records.NEW_VERSION)
    return f"version {version} is {'as published' if known else 'not published yet'}"


def _read_platform(name: str, version: str, settings: Settings) -> Platform | None:
    with closing(wiring.open_database(settings)) as database:
        if schema.current(database) != schema.head():
            return None
        with database.read() as session:
            return session.get(Platform, (name, version))


def _sealing(cell: CellSettings, settings: Settings) -> str:
    certificate = wiring.sealing_certificate(cell, production=settings.is_production)
    now = datetime.now(UTC)
    certificate.check(now)
    if certificate.not_after - now < EXPIRES_SOON:
        raise SettingsError(
            f"the sealing certificate expires on {certificate.not_after:%Y-%m-%d}",
            remedy="kubeseal --fetch-cert > sealing.crt",
        )
    return f"sealing certificate {certificate.fingerprint[:16]}… valid"


def _images(cell: CellSettings, name: str) -> str:
    registries = check_credentials(wiring.registry_credentials(name, cell))
    return f"credentials for {', '.join(registries)}"


def _argocd(cell: CellSettings) -> str:
    argocd = wiring.argocd(cell)
    if argocd is None:
        raise SettingsError(
            "no Argo CD is set, so no status can be known",
            remedy="set TENANTRY_CELLS__<CELL>__ARGOCD_URL",
        )
    return _ask(argocd)


def _ask(argocd: ArgoCD) -> str:
    version = argocd.version()
    if not argocd.logged_in():
        raise SettingsError("Argo CD does not know the token", remedy="renew ARGOCD_TOKEN_FILE")
    for action, resource, does in _RIGHTS:
        if not argocd.may(action, resource):
            raise SettingsError(
                f"the account may not {does} of project {argocd.project}",
                remedy=f"allow it `{resource}, {action}, {argocd.project}/*` in argocd-rbac-cm",
            )
    return f"Argo CD {version}, project {argocd.project} may be read and synced"


_RIGHTS = (
    ("get", "applications", "read Applications"),
    ("sync", "applications", "sync Applications that failed"),
    ("get", "applicationsets", "read ApplicationSets"),
)


def _forge(cell: CellSettings, name: str) -> str:
    forge = wiring.forge(name, cell)
    lacks = forge.examine() if forge else []
    if lacks:
        raise SettingsError("; ".join(lacks), remedy=_FORGE_REMEDY)
    return f"{cell.forge}: the token's account may push and open pull requests"


_FORGE_REMEDY = "mend each at the forge; pushes without a review need a way past protection"

"""Builds the service from its settings: the one place that knows which adapter stands where."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from tenantry.adapters.clock import ShiftedClock
from tenantry.adapters.database import schema
from tenantry.adapters.database.session import Database
from tenantry.adapters.product_folder import read_product_folder
from tenantry.adapters.seal import Kubeseal
from tenantry.core.backoff import Backoff
from tenantry.core.errors import SettingsError
from tenantry.core.signup import Rules
from tenantry.core.standing import Rules as StandingRules
from tenantry.flows import keys
from tenantry.flows.initializing import Site
from tenantry.flows.key_folder import KeyFolder
from tenantry.flows.service import Patience, PaymentProvider, Service
from tenantry.settings import Settings
from tenantry.wiring.cells import (
    argocd,
    make_cell,
    reader,
    registry_credentials,
    sealing_certificate,
)
from tenantry.wiring.hosts import forge, git_access
from tenantry.wiring.mail import mail_templates, mailbox, support_mail

__all__ = [
    "argocd",
    "build",
    "clock_of",
    "forge",
    "git_access",
    "mail_templates",
    "mailbox",
    "make_data_folder",
    "open_database",
    "payment_provider",
    "registry_credentials",
    "sealing_certificate",
    "site",
    "support_mail",
    "utc_now",
]

SYNC_LONGEST = timedelta(minutes=30)  # between two syncs that are asked for


def utc_now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


def clock_of(settings: Settings) -> Callable[[], datetime]:
    """The clock; in development it may be ahead of the real time."""
    return ShiftedClock(settings.clock_file) if settings.clock_file else utc_now


def build(settings: Settings, *, now: Callable[[], datetime] | None = None) -> Service:
    """The service, ready for use. In development, missing keys are made and the database's tables
    are brought up to date; in production neither: KeysMissing or SettingsError say what to do.
    """
    make_data_folder(settings)
    if not settings.is_production:
        keys.make_development_keys(settings.keys, algorithm=settings.license_algorithm)
    key_folder = KeyFolder(settings.keys, production=settings.is_production)
    vault = keys.load_vault(settings.keys, production=settings.is_production)
    folder = read_product_folder(settings.product_dir)
    database = _database(settings)
    cells = {
        name: make_cell(name, cell, settings, folder, database)
        for name, cell in settings.cells.items()
    }
    if settings.is_production:  # what is sealed with a development one cannot be taken back
        for cell in cells.values():
            cell.certificate()
            if folder.product.pull_secret:
                cell.registry_credentials()
    return Service(
        database=database,
        vault=vault,
        key_folder=key_folder,
        product=folder.product,
        templates=folder.templates,
        platform_files=folder.platform,
        kubeseal=Kubeseal(),
        cells=cells,
        mailbox=mailbox(settings),
        mail_templates=mail_templates(settings),
        password_rules=Rules(minimum=settings.min_password_length),
        signup_limits=settings.signup_limits,
        login_limits=settings.login_limits,
        confirm_email=settings.confirm_email,
        approve_signups=settings.approve_signups,
        trusted_proxies=settings.trusted_proxies,
        public_url=settings.public_url,
        company_in_git=settings.company_in_git,
        metrics_token=reader(settings.metrics_token_file),
        publish_batch=settings.publish_batch,
        bulk_batch=settings.bulk_batch,
        patience=_patience(settings),
        support_mail=support_mail(settings, folder.product),
        billing=payment_provider(settings),
        now=now or clock_of(settings),
    )


def payment_provider(settings: Settings) -> PaymentProvider | None:
    """Who tells what was paid; None where nobody does."""
    secret = reader(settings.billing_secret_file)
    return PaymentProvider(settings.billing_scheme, secret) if secret else None


def _patience(settings: Settings) -> Patience:
    is_suspended = settings.failed_policy == "suspend"
    return Patience(
        rules=StandingRules(
            settle_after=timedelta(seconds=settings.settle_after),
            ready_within=timedelta(seconds=settings.ready_within),
            attempts=settings.sync_attempts,
            backoff=Backoff(timedelta(seconds=settings.sync_backoff), longest=SYNC_LONGEST),
        ),
        list_moving=timedelta(seconds=settings.watch_poll),
        list_idle=timedelta(seconds=settings.watch_idle),
        silence=timedelta(seconds=settings.watch_silence),
        probe_every=timedelta(seconds=settings.probe_poll),
        at_once=settings.watch_requests,
        failed_kept=timedelta(seconds=settings.failed_keep) if is_suspended else None,
    )


@contextmanager
def site(settings: Settings, name: str) -> Iterator[Site]:
    """What a cell's repository begins with: needs no keys, no sealing certificate, no Argo CD."""
    make_data_folder(settings)
    folder = read_product_folder(settings.product_dir)
    database = _database(settings)
    try:
        cell = make_cell(name, settings.cells[name], settings, folder, database)
        yield Site(cell, folder.product.platform, folder.platform, clock_of(settings))
    finally:
        database.close()


def make_data_folder(settings: Settings) -> None:
    """The folder of the service's own data, where it is not there yet."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{settings.data_dir}: {error.strerror}",
            remedy="make it writable, or set TENANTRY_DATA_DIR",
        ) from None


def open_database(settings: Settings) -> Database:
    """The database, at whatever revision; SettingsError says why it does not answer."""
    database = Database(settings.database, pool_size=settings.web_threads + 2)
    if reason := database.why_unavailable():
        database.close()
        raise SettingsError(
            f"the database does not answer: {reason}", remedy="check TENANTRY_DATABASE_URL"
        )
    return database


def _database(settings: Settings) -> Database:
    database = open_database(settings)
    if not settings.is_production:
        schema.upgrade(database)
    elif schema.current(database) != schema.head():
        database.close()
        raise SettingsError("the database is not up to date", remedy="run `tenantry db upgrade`")
    return database

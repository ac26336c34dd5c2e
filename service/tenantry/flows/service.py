"""What every flow works with: the adapters and the product, built once by `tenantry.wiring`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from tenantry.adapters.argocd import ArgoCD
from tenantry.adapters.database.lease import Lease
from tenantry.adapters.database.session import Database
from tenantry.adapters.forge import Forge
from tenantry.adapters.git import TenantsRepository
from tenantry.adapters.mail import Mailbox
from tenantry.adapters.probe import Probed
from tenantry.adapters.seal import Kubeseal, SealingCertificate
from tenantry.adapters.vault import Vault
from tenantry.core.billing import Scheme
from tenantry.core.gittree import folder_id
from tenantry.core.limits import Limits
from tenantry.core.overlay import CellFacts, Templates
from tenantry.core.product import Product
from tenantry.core.review import Policy
from tenantry.core.signup import Rules
from tenantry.core.standing import Rules as StandingRules
from tenantry.flows.class_check import ClassChecker
from tenantry.flows.key_folder import KeyFolder
from tenantry.flows.keys import Keyring

# Tells Argo CD of a push: branch, its head before (None: it is new) and after, changed paths.
Announce = Callable[[str, str | None, str, Sequence[str]], None]


@dataclass(frozen=True)
class Cell:
    """One tenants repository, with the Argo CD and sealing certificate that belong to it."""

    name: str
    domain: str
    instance_url: str  # {host} is replaced
    repository: TenantsRepository
    lease: Lease  # of publishing to it
    policy: Policy  # which changes wait for a review
    volumes_grow: bool  # with a larger plan
    forge: Forge | None  # where pull requests are opened; None: a branch is all there is
    webhook_secret: Callable[[], str] | None  # of the forge; None: it sends none
    notifications_token: Callable[[], str] | None  # of Argo CD's; None: it sends none
    shards: int  # that its tenants are spread over
    founding_files: Mapping[str, bytes]  # what a new repository holds beside the platform
    certificate: Callable[[], SealingCertificate]
    registry_credentials: Callable[[], str]  # a Docker configuration, for private images
    checker: ClassChecker
    facts: CellFacts
    argocd: ArgoCD | None
    announce: Announce | None
    probe: Callable[[str], Probed]  # of a URL
    ask: Callable[[str], object | None]  # a URL for its JSON; None: there is none

    def host(self, customer_id: str) -> str:
        """The host name of a customer's instance."""
        return f"{customer_id}.{self.domain}"

    def application_url(self, name: str) -> str | None:
        """An Application's page at Argo CD; None where there is no Argo CD."""
        return f"{self.argocd.url}/applications/{name}" if self.argocd else None

    def url(self, customer_id: str) -> str:
        """The URL of a customer's instance."""
        return self.instance_url.replace("{host}", self.host(customer_id))


@dataclass(frozen=True)
class Patience:
    """How a cell's Argo CD is followed."""

    rules: StandingRules
    list_moving: timedelta  # between lists while tenants are on the way and no stream is heard
    list_idle: timedelta  # otherwise
    silence: timedelta  # without an answer, after which what was seen counts as old
    probe_every: timedelta  # of an instance that is ready
    at_once: int  # requests under way
    failed_kept: timedelta | None  # of a first deployment, before it is suspended; None: never


@dataclass(frozen=True)
class PaymentProvider:
    """Who tells of payments, by signed messages."""

    scheme: Scheme
    secret: Callable[[], str]


@dataclass(frozen=True)
class Service:
    """The whole of it."""

    database: Database
    vault: Vault
    key_folder: KeyFolder
    product: Product
    templates: Templates
    platform_files: Mapping[str, bytes]  # of the platform version for new tenants
    kubeseal: Kubeseal
    cells: Mapping[str, Cell]
    mailbox: Mailbox
    mail_templates: Mapping[str, str]
    password_rules: Rules
    signup_limits: Limits
    login_limits: Limits
    confirm_email: bool  # before an instance is set up
    approve_signups: bool  # the same: an operator does
    trusted_proxies: int  # that append to X-Forwarded-For
    public_url: str
    company_in_git: bool  # and not the customer's id in its place
    metrics_token: Callable[[], str] | None  # for /metrics; None: only this machine is answered
    publish_batch: int  # most tenants in one push
    bulk_batch: int  # most of a change to many
    patience: Patience
    support_mail: str | None  # who is told of failed deployments
    billing: PaymentProvider | None  # None: nobody tells of payments
    now: Callable[[], datetime]

    @property
    def keyring(self) -> Keyring:
        """The keys of licenses as they are now: a rotation may change them at any time."""
        return self.key_folder.keyring()

    @cached_property
    def platform_tree(self) -> str:
        """The Git tree that `platform_files` make."""
        return folder_id(self.platform_files)

    @property
    def ready_within(self) -> timedelta:
        """After which a deployment is late."""
        return self.patience.rules.ready_within

    def ready(self) -> list[str]:
        """What keeps the web part from serving, by the ids of `tenantry doctor`; [] for nothing."""
        return ["database.reachable"] if self.database.why_unavailable() else []

    @property
    def new_tenants_cell(self) -> Cell:
        """Where signups go."""
        return next(iter(self.cells.values()))

"""The product: what a vendor sells, as `tenant_templates/product.yaml` says it.

The one model that knows plans, secrets, license claims and routes. Nothing else in the code knows
the product by name. Sizes of workloads live in the platform's plan components.
"""

from __future__ import annotations

import hashlib
import string
import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tenantry.core.images import ImageRef, check_names
from tenantry.core.pull_secret import KEY as PULL_KEY

_SAFE = 2**53 - 1  # beyond it, some readers of a license's JSON have another number
NOTHING_REVOKED = "none"  # in place of a list of revocations: its value, and its version
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")

DnsLabel = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")]
LabelValue = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]
Version = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,30}[a-z0-9])?$")]
Size = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}(Mi|Gi|Ti)$")]
# as Kubernetes has it: "." and ".." are folders where a Secret is mounted
KeyName = Annotated[str, Field(max_length=253, pattern=r"^\.?[A-Za-z0-9_-][A-Za-z0-9._-]*$")]
# no "//", "/." or "/..", which Kubernetes refuses in an Ingress
UrlPath = Annotated[
    str, Field(pattern=r"^(/\.{0,2}[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?$", min_length=1)
]
FieldPath = Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")]
Number = Annotated[int, Field(strict=True)]
Limit = Annotated[int, Field(strict=True, ge=-_SAFE, le=_SAFE)]


def _is_line(text: str) -> str:
    """ValueError for what could not stand in a heading or in a mail's subject."""
    if any(unicodedata.category(c) in _UNSEEN for c in text):
        raise ValueError("must be one line without control characters")
    return text


Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_is_line)]
Link = Annotated[str, Field(max_length=2000, pattern=r"^https://[^\s\"'<>]+$")]


class Source(StrEnum):
    """Where the value of a secret key comes from."""

    LICENSE = "license"
    PUBLIC_KEYS = "public-keys"
    CUSTOMER_ID = "customer-id"
    RANDOM = "random"
    REVOCATIONS = "revocations"


class Rotation(StrEnum):
    """What a new value of a random secret does."""

    RESTART = "restart"  # the workloads that read it restart
    NEVER = "never"  # refused: what reads it does so only at its first start


class Alphabet(StrEnum):
    """Characters of a random secret."""

    ALPHANUMERIC = "alphanumeric"
    HEX = "hex"

    @property
    def characters(self) -> str:
        return {
            Alphabet.ALPHANUMERIC: string.ascii_letters + string.digits,
            Alphabet.HEX: "0123456789abcdef",
        }[self]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Trial(_Part):
    """What a signup gets; days."""

    plan: str
    days: Number = Field(ge=1, le=3650)
    reminders: tuple[Number, ...] = Field(default=(), description="days of the trial, from 1")
    warn_days: Number = Field(ge=0, description="days before the end from which the product warns")
    grace_days: Number = Field(ge=0, le=3650, description="read-only days after the end")

    @field_validator("reminders")
    @classmethod
    def _are_days_of_it(cls, days: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        last = info.data.get("days", 3650)  # what is wrong with the days is told of them
        if list(days) != sorted(set(days)) or any(not 1 <= day <= last for day in days):
            raise ValueError(f"must be days of the trial, 1 to {last}, each once and in order")
        return days


class Paid(_Part):
    """What holds once a customer pays; numbers are days."""

    slack_days: Number = Field(
        default=2, ge=0, le=90, description="after what was paid for, before it counts as unpaid"
    )
    past_due_days: Number = Field(
        default=14, ge=0, le=365, description="that it runs on after a payment failed"
    )
    read_only_days: Number = Field(
        default=3, ge=0, le=365, description="after that, or after the end of what was cancelled"
    )
    license_days: Number = Field(default=60, ge=30, le=3650, description="that a license runs")
    renew_days: Number = Field(
        default=20, ge=1, description="before its end from which it is renewed, spread over half"
    )
    warn_days: Number = Field(
        default=7, ge=0, description="before its end from which the product warns"
    )
    portal: Link | None = Field(
        default=None,
        description="where who pays changes the plan, pays what is open, and ends the payments; "
        "{customer_id} is replaced",
    )

    @field_validator("renew_days")
    @classmethod
    def _leaves_time(cls, days: int, info: ValidationInfo) -> int:
        if days >= info.data.get("license_days", 3650):
            raise ValueError("must be less than license_days, or licenses are renewed at once")
        return days


class Plan(_Part):
    """What a plan allows, and the sizes of a new tenant's volumes."""

    title: Line
    features: dict[str, Any] = Field(description="goes into the license")
    limits: dict[str, Limit] = Field(description="goes into the license")
    volumes: dict[DnsLabel, Size] = Field(description="claim name -> size")
    payment_link: Link | None = Field(
        default=None, description="where a customer pays for it; {customer_id} is replaced"
    )
    prices: tuple[Line, ...] = Field(
        default=(), description="what the payment provider calls its prices"
    )


class SecretKey(_Part):
    """One key of the tenant's Secret."""

    source: Source
    length: Number | None = Field(default=None, ge=16, le=512, description="characters")
    alphabet: Alphabet = Alphabet.ALPHANUMERIC
    rotation: Rotation | None = None

    @model_validator(mode="after")
    def _random_is_complete(self) -> Self:
        given = self.length is not None and self.rotation is not None
        none = self.length is None and self.rotation is None
        if self.source is Source.RANDOM and not given:
            raise ValueError("a random value needs length and rotation")
        if self.source is not Source.RANDOM and not none:
            raise ValueError("length and rotation belong to random values only")
        return self

    @property
    def restarts(self) -> bool:
        """Whether a new value shows in the secrets' version (a license has its own version)."""
        return self.rotation is Rotation.RESTART or self.source is Source.PUBLIC_KEYS


class Secret(_Part):
    """The tenant's Secret; it goes to Git only sealed."""

    name: DnsLabel
    keys: dict[KeyName, SecretKey] = Field(min_length=1)

    def keys_from(self, source: Source) -> tuple[str, ...]:
        """Names of the keys with that source."""
        return tuple(name for name, key in self.keys.items() if key.source is source)

    def version(self, versions: Mapping[str, str]) -> str:
        """Short and stable: changes when a value changes for which pods must restart. Starts with a
        letter, since a hash such as 190e12 reads like a number.
        """
        lines = [
            f"{name}={versions[name]}" for name in sorted(self.keys) if self.keys[name].restarts
        ]
        return "v" + hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]

    def license_version(self, license_id: str, versions: Mapping[str, str]) -> str:
        """Changes with the license and with the list of those that were revoked."""
        known = self.complete(versions)
        lists = {known[name] for name in self.keys_from(Source.REVOCATIONS)} - {NOTHING_REVOKED}
        return ".".join([license_id, *sorted(lists)])

    def complete(self, versions: Mapping[str, str]) -> dict[str, str]:
        """The versions of a tenant's values. One that was made before the product had a list of
        revocations has none.
        """
        return {**dict.fromkeys(self.keys_from(Source.REVOCATIONS), NOTHING_REVOKED), **versions}


class LicenseTemplate(_Part):
    """What the product's licenses say beyond the standard claims."""

    issuer: Line
    claims: dict[str, Any] = Field(description="string leaves may hold Jinja2 expressions")


class Route(_Part):
    """A path of the instance's URL and the Service that answers it."""

    path: UrlPath
    service: DnsLabel
    port: Number = Field(ge=1, le=65535)


class Ingress(_Part):
    """How the instance is reached."""

    routes: tuple[Route, ...] = Field(min_length=1)
    read_only: DnsLabel | None = Field(
        default=None, description="Service that every route leads to in the state read-only"
    )

    @model_validator(mode="after")
    def _paths_differ(self) -> Self:
        paths = [route.path.rstrip("/") for route in self.routes]
        if len(set(paths)) != len(paths):
            raise ValueError("two routes have the same path")
        return self

    def leads(self, path: str) -> bool:
        """Whether a route answers the path; a route's path stands for all below it."""
        below = f"{path.rstrip('/')}/"
        return any(below.startswith(f"{route.path.rstrip('/')}/") for route in self.routes)


class LicenseReport(_Part):
    """Where an instance says which license it runs with; the answer is JSON."""

    path: UrlPath
    field: FieldPath = Field(description="of the license's id; dots lead into objects")


class Ready(_Part):
    """What must answer before an instance counts as ready."""

    paths: tuple[UrlPath, ...] = Field(min_length=1)
    license: LicenseReport | None = Field(
        default=None, description="an instance is not ready with another license than its own"
    )

    @field_validator("paths")
    @classmethod
    def _differ(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(paths)) != len(paths):
            raise ValueError("names a path twice")
        return paths


class Bootstrap(_Part):
    """The first administrator of an instance: the name is the customer id."""

    secret: KeyName = Field(description="key of the tenant's Secret with the one-time password")
    path: UrlPath = Field(description="where the customer logs in")

    def url(self, instance_url: str) -> str:
        """Where the customer of that instance logs in."""
        return f"{instance_url}{self.path}"


class Product(_Part):
    """All that Tenantry knows about the vendor's product."""

    name: DnsLabel = Field(description="machine name; the license's audience, and a label")
    title: Line
    environment: LabelValue
    platform: Version = Field(description="platform version of new tenants")
    images: Annotated[dict[DnsLabel, ImageRef], AfterValidator(check_names)] = Field(
        min_length=1, description="short name, as the platform's manifests say -> image"
    )
    plans: dict[DnsLabel, Plan] = Field(min_length=1)
    trial: Trial
    paid: Paid = Paid()
    secret: Secret
    bootstrap: Bootstrap | None = None
    pull_secret: DnsLabel | None = Field(
        default=None, description="name of a second Secret, with which images are pulled"
    )
    license: LicenseTemplate
    ingress: Ingress
    ready: Ready
    estimated_time: Line
    next_steps: tuple[Line, ...] = Field(default=(), description="told to a new customer")
    support: Line | None = None

    @field_validator("plans")
    @classmethod
    def _have_the_same_volumes(cls, plans: dict[str, Plan]) -> dict[str, Plan]:
        if len({frozenset(plan.volumes) for plan in plans.values()}) != 1:
            raise ValueError("every plan must name the same volumes")
        return plans

    @field_validator("trial")
    @classmethod
    def _is_of_a_plan(cls, trial: Trial, info: ValidationInfo) -> Trial:
        if trial.plan not in info.data.get("plans", {trial.plan}):
            raise ValueError(f"{trial.plan!r} is none of the plans")
        return trial

    @field_validator("bootstrap")
    @classmethod
    def _has_its_secret(cls, bootstrap: Bootstrap | None, info: ValidationInfo) -> Any:
        secret: Secret | None = info.data.get("secret")
        if bootstrap and secret and bootstrap.secret not in secret.keys_from(Source.RANDOM):
            raise ValueError(f"{bootstrap.secret!r} is no random key of the product's secret")
        return bootstrap

    @field_validator("pull_secret")
    @classmethod
    def _is_another_secret(cls, name: str | None, info: ValidationInfo) -> str | None:
        secret: Secret | None = info.data.get("secret")
        if name is not None and secret and name == secret.name:
            raise ValueError(f"{name!r} is the name of the product's secret; choose another")
        if name is not None and secret and PULL_KEY in secret.keys:
            raise ValueError(f"the product's secret has its key, {PULL_KEY}")
        return name

    @field_validator("ready")
    @classmethod
    def _is_led_to(cls, ready: Ready, info: ValidationInfo) -> Ready:
        ingress: Ingress | None = info.data.get("ingress")
        asked = (*ready.paths, *([ready.license.path] if ready.license else []))
        for path in asked:
            if ingress and not ingress.leads(path):
                raise ValueError(f"no route leads to {path}, so it would never answer")
        return ready

    @property
    def sealed_keys(self) -> tuple[str, ...]:
        """The keys of all that goes to Git sealed."""
        return (*self.secret.keys, *([PULL_KEY] if self.pull_secret else []))

"""The product: what a vendor sells, as `tenant_templates/product.yaml` says it.

The one model that knows plans, license claims and routes; its Secret is `core/secret.py`. Nothing
else in the code knows the product by name. Sizes of workloads live in the platform's plan
components.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from tenantry.core.errors import ChangeRefused
from tenantry.core.images import ImageRef, check_names
from tenantry.core.product_types import (
    DnsLabel,
    FieldPath,
    KeyName,
    LabelValue,
    Limit,
    Line,
    Link,
    Number,
    Part,
    Size,
    UrlPath,
    Version,
)
from tenantry.core.pull_secret import KEY as PULL_KEY
from tenantry.core.secret import Secret, Source


class Trial(Part):
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


class Paid(Part):
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


class Plan(Part):
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


class LicenseTemplate(Part):
    """What the product's licenses say beyond the standard claims."""

    issuer: Line
    claims: dict[str, Any] = Field(description="string leaves may hold Jinja2 expressions")


class Route(Part):
    """A path of the instance's URL and the Service that answers it."""

    path: UrlPath
    service: DnsLabel
    port: Number = Field(ge=1, le=65535)


class Ingress(Part):
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


class LicenseReport(Part):
    """Where an instance says which license it runs with; the answer is JSON."""

    path: UrlPath
    field: FieldPath = Field(description="of the license's id; dots lead into objects")


class Ready(Part):
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


class Bootstrap(Part):
    """The first administrator of an instance: the name is the customer id."""

    secret: KeyName = Field(description="key of the tenant's Secret with the one-time password")
    path: UrlPath = Field(description="where the customer logs in")

    def url(self, instance_url: str) -> str:
        """Where the customer of that instance logs in."""
        return f"{instance_url}{self.path}"


class Product(Part):
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

    def require_plan(self, name: str) -> None:
        """ChangeRefused, with the plans to choose from, unless there is one of that name."""
        if name not in self.plans:
            choice = ", ".join(self.plans)
            raise ChangeRefused(f"there is no plan {name!r}", remedy=f"choose from {choice}")

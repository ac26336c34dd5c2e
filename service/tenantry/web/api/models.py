"""Every answer of the API as a model: what is sent is what the documentation says is sent."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from tenantry.core.model import Status


class Answer(BaseModel):
    """Frozen, and exact: an answer has no members but these."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Problem(Answer):
    """What went wrong (RFC 9457), with the short texts that programs and pages show."""

    type: str = Field(description="Address of the kind of problem in this documentation.")
    title: str = Field(description="The kind of problem in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong this time.")
    instance: str = Field(description="This very occurrence; ends in the request id.")
    error: str = Field(description="Short text to show.")
    message: str = Field(description="Longer text to show.")
    code: str = Field(description="For programs; never changes its meaning.")
    request_id: str = Field(description="What support asks for; also in X-Request-Id.")
    field: str | None = Field(default=None, description="The field that is wrong, if it is one.")


class CustomerPart(Answer):
    customer_id: str = Field(description="Public: part of the instance's host name.")
    email: str = Field(description="As stored, in normalized form.")
    company_name: str


class SubscriptionPart(Answer):
    plan: str
    status: str
    trial_ends_at: datetime = Field(description="The first instant after the trial, UTC.")


class DeploymentPart(Answer):
    status: Literal["provisioning"] = "provisioning"
    estimated_time: str = Field(
        description="From now on, or from when what is waited for is there: then it says so.",
        examples=["2-3 minutes"],
    )
    instance_url: str = Field(description="Answers once the deployment is ready.")
    status_url: str = Field(description="The customer's live status page; a secret link.")


class LicensePart(Answer):
    jwt: str = Field(description="Shown to its customer only.")
    expires_at: datetime
    max_devices: int | None = Field(description="null: no limit.")


class SignupAnswer(Answer):
    """A new customer, whose instance is on its way, or waits for what the message says."""

    message: str = Field(
        examples=["Account created successfully! Your instance is being deployed."]
    )
    customer: CustomerPart
    subscription: SubscriptionPart
    deployment: DeploymentPart
    license: LicensePart
    next_steps: list[str]


class ChangePart(Answer):
    kind: str = Field(description="What changes, such as `plan`.")
    stage: str = Field(description="How far it is: in_review, publishing, syncing.")


class StepPart(Answer):
    code: Literal["account", "license", "committed", "syncing", "healthy", "answering"]
    label: str
    state: Literal["done", "active", "waiting", "failed"]
    at: datetime | None = Field(description="When it was done.")


class DeploymentAnswer(Answer):
    """What runs, what is on its way, and how it came about."""

    customer_id: str
    company_name: str
    plan: str
    status: Status
    reason_code: str = Field(description="For programs.")
    reason: str = Field(description="A sentence for the customer.")
    unknown_since: datetime | None = Field(
        description="Since when it cannot be seen what runs: status and reason are the last known."
    )
    late: bool = Field(
        description="What is on its way takes longer than it should; the reason says what is not "
        "ready."
    )
    flaps: int = Field(description="Times that the running instance was disturbed, however short.")
    change: ChangePart | None
    instance_url: str
    commit: str | None = Field(description="The commit that main shows of this customer.")
    trial_ends_at: datetime = Field(description="The first instant after the trial, UTC.")
    time_zone: str = Field(description="In which the trial's days end.")
    signed_up_at: datetime
    steps: list[StepPart]
    updated_at: datetime
    settled: bool = Field(description="Nothing is expected to happen by itself soon.")


class Health(Answer):
    """The process is alive."""

    status: Literal["ok"] = "ok"


class Readiness(Answer):
    """Whether this process can do its work."""

    status: Literal["ready", "not ready"]
    findings: list[str] = Field(
        description="Ids of what is wrong; `tenantry doctor` explains them."
    )
    flags: list[str] = Field(
        description="Switches that an operator has moved, such as `publish_paused`; no fault."
    )


class KeySet(Answer):
    """Public keys that verify licenses (RFC 7517)."""

    keys: list[dict[str, str]]


class RevocationList(RootModel[str]):
    """A signed JWT with the claim `revoked`: a list of objects with `jti` and `at`."""


class Metrics(RootModel[str]):
    """Metrics in the text format of Prometheus."""

"""Changes to what a tenant is wanted to be, and which of them wait for a person (R32).

Kinds own disjoint fields of `TenantSpec`, so changes that wait never contradict each other, and one
that goes on at once passes those that wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tenantry.core.errors import ChangeRefused
from tenantry.core.model import State, TenantSpec
from tenantry.core.product import Product
from tenantry.core.volumes import grow

BRANCHES = "tenantry/"  # below which all branches are that wait for a person


class ChangeKind(StrEnum):
    """What a change is about."""

    SIGNUP = "signup"
    LICENSE = "license"
    STATE = "state"
    PLAN = "plan"
    PLATFORM = "platform"
    DELETE = "delete"


class Mode(StrEnum):
    """Whether a change goes to main at once, or to a branch that a person merges."""

    DIRECT = "direct"
    REVIEW = "review"


class Outcome(StrEnum):
    """How a change ended."""

    APPLIED = "applied"  # wanted on main: at once, or merged by a person
    DECLINED = "declined"  # closed without a merge
    WITHDRAWN = "withdrawn"  # another change took its place, or it became moot
    REVERTED = "reverted"  # merged, and then taken back on main


# The fields of `TenantSpec` that each kind may set; a license and the sizes of a plan are made when
# the plan's change is approved.
FIELDS: Mapping[ChangeKind, frozenset[str]] = {
    ChangeKind.SIGNUP: frozenset(),
    ChangeKind.LICENSE: frozenset({"license_id", "secret_versions"}),
    ChangeKind.STATE: frozenset({"state"}),
    ChangeKind.PLAN: frozenset({"plan"}),
    ChangeKind.PLATFORM: frozenset({"platform"}),
    ChangeKind.DELETE: frozenset({"state"}),
}

DEFAULTS: Mapping[ChangeKind, Mode] = {
    ChangeKind.SIGNUP: Mode.DIRECT,
    ChangeKind.LICENSE: Mode.DIRECT,
    ChangeKind.STATE: Mode.DIRECT,
    ChangeKind.PLAN: Mode.REVIEW,
    ChangeKind.PLATFORM: Mode.REVIEW,
    ChangeKind.DELETE: Mode.REVIEW,
}


@dataclass(frozen=True)
class Policy:
    """Which changes of a cell wait for a review."""

    everything: bool = False  # whatever the kind
    modes: Mapping[ChangeKind, Mode] = field(default_factory=lambda: DEFAULTS)
    batches_signups: bool = True  # several that wait share one pull request

    def mode(self, kind: ChangeKind, *, is_paid: bool = False) -> Mode:
        """What becomes of a change of this kind; a plan that was paid for waits for nobody."""
        if self.everything:
            return Mode.REVIEW
        if kind == ChangeKind.PLAN and is_paid:
            return Mode.DIRECT
        return self.modes[kind]


def kind_of_state(state: State) -> ChangeKind:
    """The kind of change that leads to a state."""
    return ChangeKind.DELETE if state == State.DELETING else ChangeKind.STATE


def branch_of(customer_id: str) -> str:
    """The branch of one tenant's changes."""
    return f"{BRANCHES}{customer_id}"


def lay_on(
    spec: TenantSpec,
    changes: Iterable[tuple[ChangeKind, Mapping[str, Any]]],
    product: Product,
    *,
    volumes_grow: bool,
) -> TenantSpec:
    """The spec with changes laid on; a plan brings its sizes, where volumes grow, and none shrinks.
    ChangeRefused for a plan that is no more.
    """
    wanted = spec.model_dump()
    for kind, fields in changes:
        wanted = _lay(wanted, kind, fields)
        if kind == ChangeKind.PLAN:
            if wanted["plan"] not in product.plans:
                raise ChangeRefused(f"the product has no plan {wanted['plan']} any more")
            sizes = product.plans[wanted["plan"]].volumes
            has = wanted["volumes"]
            wanted["volumes"] = grow(has, sizes) if volumes_grow else {**sizes, **has}
    return TenantSpec.model_validate(wanted)


def lay_license(spec: TenantSpec, fields: Mapping[str, Any]) -> TenantSpec:
    """The spec with the fields of a license laid on."""
    return TenantSpec.model_validate(_lay(spec.model_dump(), ChangeKind.LICENSE, fields))


def _lay(wanted: Mapping[str, Any], kind: ChangeKind, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A key of `secret_versions` that a change does not name stays."""
    given = {name: value for name, value in fields.items() if name in FIELDS[kind]}
    secrets = {**wanted["secret_versions"], **given.get("secret_versions", {})}
    return {**wanted, **given, "secret_versions": secrets}

"""One tenant of a review, as a reviewer is shown it, and how that is found in its objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from tenantry.core.model import State, TenantSpec
from tenantry.core.objects.diff import Difference, diff_objects
from tenantry.core.objects.item import Item, find, quantity, tree
from tenantry.core.objects.quota import measure
from tenantry.core.overlay import made_up
from tenantry.core.product import Product
from tenantry.core.review import ChangeKind

Objects = Sequence[Mapping[str, Any]]

_VEIL = "(not shown)"  # what stands for a value
# What each tenant has of its own, and nobody reviews. The environment is the product's.
_OWN = (
    "name",
    "customer_id",
    "company",
    "created_at",
    "host",
    "license_id",
    "secret_versions",
)


@dataclass(frozen=True)
class Step:
    """A value before and after; before is "" where there was none."""

    old: str
    new: str

    def __str__(self) -> str:
        return self.new if self.old in ("", self.new) else f"{self.old} → {self.new}"


@dataclass(frozen=True)
class Quota:
    """A resource that a ResourceQuota limits: what the tenant needs of it at the worst moment, and
    what it is allowed.
    """

    resource: str
    need: Step
    hard: Step


@dataclass(frozen=True)
class Secret:
    """A SealedSecret, by the names of its keys: new, changed, same or gone."""

    name: str
    keys: Mapping[str, str]


@dataclass(frozen=True)
class Content:
    """What a tenant's objects come to, beside what they are on main or, where it is new, beside the
    reference tenant of its plan.
    """

    differences: Sequence[Difference] = ()
    secrets: Sequence[Secret] = ()
    quotas: Sequence[Quota] = ()
    problems: Sequence[str] = ()


@dataclass(frozen=True)
class Entry:
    """One tenant of a review."""

    customer_id: str
    company: str
    kinds: Sequence[ChangeKind]
    actors: Sequence[str]
    is_new: bool
    plan: Step
    state: Step
    platform: Step
    host: str
    url: str  # of the instance
    application_url: str  # in Argo CD; "" where its address is not known
    limits: Mapping[str, Step]  # of the license
    expires_at: datetime | None  # the license; None: it is not issued yet
    edited: Sequence[str]  # files that a reviewer edited
    content: Content


def reference(product: Product, spec: TenantSpec) -> TenantSpec | None:
    """The tenant of the same plan and platform that has nothing special, by the names of this one;
    None where the product has no such plan.
    """
    if spec.plan not in product.plans:
        return None
    usual = made_up(product, spec.plan, State.ACTIVE, platform=spec.platform)
    return usual.model_copy(update={name: getattr(spec, name) for name in _OWN})


def compare(old: Objects, new: Objects, *, is_new: bool, problems: Sequence[str] = ()) -> Content:
    """What a reviewer is told of these objects. No sealed value is in it."""
    return Content(
        differences=diff_objects([*map(_veil, old)], [*map(_veil, new)], ("before", "after")),
        secrets=list(_compare_secrets([] if is_new else old, new)),
        quotas=list(_compare_quotas([] if is_new else old, new)),
        problems=problems,
    )


def _veil(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object without ciphertext, or values that ought to be: the names of its keys stay."""
    if body.get("kind") == "Secret":
        return {**body, **_veil_fields(body, "data", "stringData")}
    if body.get("kind") != "SealedSecret":
        return body
    spec = tree(body, "spec")
    return {**body, "spec": {**spec, **_veil_fields(spec, "encryptedData", "data")}}


def _veil_fields(part: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: dict.fromkeys(tree(part, name), _VEIL) for name in names if name in part}


def _compare_secrets(old: Objects, new: Objects) -> Iterator[Secret]:
    before, after = _sealed(old), _sealed(new)
    for name in sorted({*before, *after}):
        was, will = before.get(name, {}), after.get(name, {})
        yield Secret(name, {key: _compare_key(key, was, will) for key in sorted({*was, *will})})


def _sealed(objects: Objects) -> dict[str, Mapping[str, Any]]:
    found = find([Item(body) for body in objects], "SealedSecret")
    return {item.name: tree(item.spec, "encryptedData") for item in found}


def _compare_key(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if key not in old or key not in new:
        return "new" if key in new else "gone"
    return "same" if old[key] == new[key] else "changed"


def _compare_quotas(old: Objects, new: Objects) -> Iterator[Quota]:
    before, after = (measure([Item(body) for body in objects]) for objects in (old, new))
    for name, (hard, need) in after.items():
        was_hard, was_need = before.get(name, (None, None))
        is_known = name in before
        yield Quota(
            name,
            need=Step(_show(name, was_need) if is_known else "", _show(name, need)),
            hard=Step(
                _show(name, quantity(was_hard)) if is_known else "", _show(name, quantity(hard))
            ),
        )


def _show(resource: str, amount: Decimal | None) -> str:
    """An amount as Kubernetes writes it: bytes as Mi, cores as they are."""
    if amount is None:
        return "–"
    is_bytes = resource.endswith(("memory", "storage"))
    return f"{amount / 2**20:.0f}Mi" if is_bytes else f"{amount.normalize():f}"

"""The claims of a license: Tenantry's own, and those the product adds by its template (R10)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Never

from tenantry.core import templates
from tenantry.core.errors import ProductError
from tenantry.core.product import Product
from tenantry.core.terms import LicenseDates, Term


def build_claims(
    *,
    product: Product,
    customer_id: str,
    tenant: str,
    plan: str,
    term: Term,
    jti: str,
    issued_at: datetime,
) -> dict[str, Any]:
    """The claims of a license: ours, and merged into them those of the product's template.

    The template reads the standard claims, and `product` (its machine name), `customer_id` and
    `tenant`; times are unix seconds. It may add claims, and members to `features` and `limits`,
    but replace nothing. ProductError where it tries to, or yields what JSON cannot hold.
    """
    bought, dates = product.plans[plan], term.dates
    claims: dict[str, Any] = {
        "iss": product.license.issuer,
        "sub": customer_id,
        "aud": product.name,
        "iat": _seconds(issued_at),
        "nbf": _seconds(issued_at),
        "exp": _seconds(dates.expires_at),
        "jti": jti,
        "plan": plan,
        "kind": term.kind,
        "features": dict(bought.features),
        "limits": dict(bought.limits),
        "warn_at": _seconds(dates.warn_at),
        "grace_until": _seconds(dates.grace_until),
    }
    context = claims | {"product": product.name, "customer_id": customer_id, "tenant": tenant}
    return _with_template(claims, product.license.claims, context)


def try_claims(product: Product) -> None:
    """Make up a license of each plan; ProductError where there could be none."""
    moment = datetime(2000, 1, 1, tzinfo=UTC)
    term = Term("trial", LicenseDates(moment, moment, moment))
    for plan in product.plans:
        build_claims(
            product=product,
            customer_id="cust-bbbbbbbbbb",
            tenant="customer-bbbbbbbbbb",
            plan=plan,
            term=term,
            jti="license",
            issued_at=moment,
        )


def _with_template(
    claims: dict[str, Any], template: Mapping[str, Any], context: Mapping[str, Any]
) -> dict[str, Any]:
    merged = _merge(claims, templates.evaluate(dict(template), context, file="product.yaml"))
    try:
        json.dumps(merged, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ProductError(
            f"the license would hold what JSON cannot: {error}",
            file="product.yaml",
            hint="features and license.claims are texts, whole or finite numbers, true and false",
        ) from error
    return merged


def _merge(base: Mapping[str, Any], more: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    merged = dict(base)
    for name, value in more.items():
        old = merged.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[name] = _merge(old, value, f"{path}{name}.")
        elif name in merged:
            _refuse(f"license.claims may not replace {path}{name}")
        else:
            merged[name] = value
    return merged


def _refuse(message: str) -> Never:
    raise ProductError(message, file="product.yaml", hint="give the claim another name")


def _seconds(instant: datetime) -> int:
    if instant.tzinfo is None:
        raise ValueError("a license's dates must say their offset from UTC")
    return int(instant.timestamp())

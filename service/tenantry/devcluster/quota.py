"""ResourceQuota and LimitRange, as the API server's admission counts them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

Manifest = Mapping[str, Any]
Amounts = dict[str, Decimal]

_UNITS: Mapping[str, Decimal | int] = {
    "": 1, "m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip
_ALIASES = {"cpu": "requests.cpu", "memory": "requests.memory"}
_COUNTED = {
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Service": "services",
    "ConfigMap": "configmaps",
    "Secret": "secrets",
}


def amount(quantity: object) -> Decimal:
    """A Kubernetes quantity as a number; ValueError where it is none."""
    text = str(quantity)
    digits = text.rstrip("mkMGTi")
    try:
        return Decimal(digits) * _UNITS[text[len(digits) :]]
    except (InvalidOperation, KeyError) as error:
        raise ValueError(f"not a quantity: {text!r}") from error


def pod_needs(pod: Manifest, limit_ranges: Iterable[Manifest]) -> Amounts:
    """What one pod counts for, defaults filled in: requests and limits of its containers together,
    or of an init container that asks for more than they do.
    """
    defaults = _defaults(limit_ranges)
    starters = pod.get("initContainers") or ()
    sidecars = [one for one in starters if one.get("restartPolicy") == "Always"]
    needs: Amounts = {}
    for container in (*sidecars, *(pod.get("containers") or ())):
        add(needs, _container_needs(container, defaults))
    for container in starters:
        for what, quantity in _container_needs(container, defaults).items():
            needs[what] = max(quantity, needs.get(what, Decimal(0)))
    return {"pods": Decimal(1), **needs}


def _container_needs(container: Manifest, defaults: Mapping[str, Mapping[str, Any]]) -> Amounts:
    given = container.get("resources") or {}
    limits = {**defaults["limits"], **(given.get("limits") or {})}
    # a limit without a request is the request
    requests = {**defaults["requests"], **(given.get("limits") or {})}
    requests |= given.get("requests") or {}
    return {
        f"{kind}.{name}": amount(quantity)
        for kind, amounts in (("requests", requests), ("limits", limits))
        for name, quantity in amounts.items()
    }


def object_needs(manifest: Manifest) -> Amounts:
    """What an object other than a pod counts for."""
    counted = _COUNTED.get(str(manifest.get("kind")))
    needs: Amounts = {counted: Decimal(1)} if counted else {}
    if counted == "persistentvolumeclaims":
        resources = (manifest.get("spec") or {}).get("resources") or {}
        needs["requests.storage"] = amount((resources.get("requests") or {}).get("storage", 0))
    return needs


def refusal(
    quotas: Iterable[Manifest], needs: Amounts, used: Amounts, *, must_name: bool = False
) -> str | None:
    """The API server's words where a quota does not leave room for `needs` beside `used`.

    `must_name`: what a quota limits must be named (pods).
    """
    for quota in quotas:
        name = quota["metadata"]["name"]
        hard = {
            _ALIASES.get(what, what): amount(quantity)
            for what, quantity in ((quota.get("spec") or {}).get("hard") or {}).items()
        }
        missing = [what for what in hard if _is_compute(what) and what not in needs]
        if must_name and missing:
            return f"failed quota: {name}: must specify {','.join(sorted(missing))}"
        if over := _exceeded(hard, needs, used):
            return f"exceeded quota: {name}, {over}"
    return None


def add(used: Amounts, needs: Amounts, times: int = 1) -> None:
    """Count `needs` in."""
    for what, quantity in needs.items():
        used[what] = used.get(what, Decimal(0)) + quantity * times


def _exceeded(hard: Amounts, needs: Amounts, used: Amounts) -> str | None:
    over = [
        what
        for what, most in sorted(hard.items())
        if needs.get(what) and used.get(what, Decimal(0)) + needs[what] > most
    ]
    if not over:
        return None
    parts = [
        f"{word}: "
        + ",".join(f"{what}={amounts.get(what, Decimal(0)).normalize():f}" for what in over)
        for word, amounts in (("requested", needs), ("used", used), ("limited", hard))
    ]
    return ", ".join(parts)


def _is_compute(what: str) -> bool:
    return what in {"requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}


def _defaults(limit_ranges: Iterable[Manifest]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {"requests": {}, "limits": {}}
    for limit_range in limit_ranges:
        limits: Sequence[Manifest] = (limit_range.get("spec") or {}).get("limits") or ()
        for rule in limits:
            if rule.get("type") == "Container":
                found["limits"] |= rule.get("default") or {}
                # without a default request, the default limit is it
                found["requests"] |= rule.get("default") or {}
                found["requests"] |= rule.get("defaultRequest") or {}
    return found

"""Sizes of a tenant's volumes: they grow and never shrink, since Kubernetes refuses a smaller one.

A size is a Kubernetes quantity. Sizes are compared as numbers and keep their spelling, so that what
stays as it is makes no diff.
"""

from __future__ import annotations

from collections.abc import Mapping

from tenantry.core.objects.item import quantity

Sizes = Mapping[str, str]  # claim name -> size, such as 5Gi


def grow(current: Sizes, wanted: Sizes) -> dict[str, str]:
    """The larger size of each claim, in the current spelling where both are as large. A claim that
    only one of the two has keeps its size.
    """
    larger = {name: size for name, size in wanted.items() if _is_less(current.get(name), size)}
    return {**wanted, **current, **larger}


def shrunk(old: Sizes, new: Sizes) -> list[str]:
    """What would become smaller, for people: `claim from 20Gi to 5Gi`."""
    return [
        f"{name} from {old[name]} to {size}"
        for name, size in new.items()
        if _is_less(size, old.get(name))
    ]


def _is_less(size: str | None, than: str | None) -> bool:
    """Whether it is the smaller one of two sizes; what is no size is smaller than any."""
    if size is None or than is None:
        return False
    left, right = quantity(size), quantity(than)
    return right is not None and (left is None or left < right)

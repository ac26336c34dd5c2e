"""Sizes of volumes: compared as numbers, kept as they are spelled, never smaller."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.core.objects.item import quantity
from tenantry.core.volumes import grow, shrunk

SIZES = st.builds(
    lambda n, unit: f"{n}{unit}", st.integers(1, 99_999), st.sampled_from(["Mi", "Gi", "Ti"])
)
VOLUMES = st.dictionaries(st.sampled_from(["a", "b", "c"]), SIZES)


@pytest.mark.parametrize(
    ("current", "wanted", "grown"),
    [
        ("5Gi", "20Gi", "20Gi"),
        ("20Gi", "5Gi", "20Gi"),
        ("9Gi", "10Gi", "10Gi"),  # not as texts
        ("1Gi", "1024Mi", "1Gi"),  # as large: no diff
        ("1024Mi", "1Gi", "1024Mi"),
        ("1Ti", "999Gi", "1Ti"),
    ],
)
def test_the_larger_size_is_taken(current: str, wanted: str, grown: str) -> None:
    assert grow({"data": current}, {"data": wanted}) == {"data": grown}


def test_a_claim_of_one_side_keeps_its_size() -> None:
    assert grow({"a": "1Gi"}, {"b": "2Gi"}) == {"a": "1Gi", "b": "2Gi"}


def test_what_would_shrink_is_named_with_both_sizes() -> None:
    old = {"a": "20Gi", "b": "1Gi", "c": "1Gi", "d": "1Gi"}
    new = {"a": "5Gi", "b": "1024Mi", "c": "much", "e": "1Gi"}
    assert shrunk(old, new) == ["a from 20Gi to 5Gi", "c from 1Gi to much"]


@given(VOLUMES, VOLUMES)
def test_what_has_grown_shrinks_nothing_of_either(
    current: dict[str, str], wanted: dict[str, str]
) -> None:
    grown = grow(current, wanted)
    assert shrunk(current, grown) == shrunk(wanted, grown) == []
    assert all(size in (current.get(name), wanted.get(name)) for name, size in grown.items())
    assert grow(grown, wanted) == grow(grown, current) == grown
    assert all(quantity(size) for size in grown.values())

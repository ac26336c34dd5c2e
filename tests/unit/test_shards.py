"""Shards: which prefix belongs to which, and what they are called (R40)."""

from __future__ import annotations

import itertools

import pytest

from tenantry.core import naming, shards

COUNTS = [1, 2, 4, 8, 16, 32, 64, 128, 256]


def test_a_cell_has_a_power_of_two_of_them() -> None:
    assert [count for count in range(-2, 600) if shards.is_count(count)] == COUNTS


@pytest.mark.parametrize("count", COUNTS)
def test_every_prefix_is_in_exactly_one_shard(count: int) -> None:
    by_shard = {shard: shards.prefixes(shard, count) for shard in shards.all_shards(count)}

    assert len(by_shard) == count
    assert {len(held) for held in by_shard.values()} == {256 // count}
    assert sorted(itertools.chain(*by_shard.values())) == [f"{n:02x}" for n in range(256)]
    assert all(
        shards.shard_of(prefix, count) == shard
        for shard, held in by_shard.items()
        for prefix in held
    )


def test_names_are_those_of_folders_and_branches() -> None:
    folder = naming.folder("customer-bcdfghjkmn")
    prefix = folder.split("/")[1]

    assert shards.shard_of(folder, 256) == shards.shard_of(f"tenants/{prefix}", 256) == prefix
    assert shards.prefixes("3f", 64) == ["fc", "fd", "fe", "ff"]
    assert shards.folders("01", 128) == ["tenants/02", "tenants/03"]
    assert shards.branch("3f") == shards.branch_of("tenants/fd/x", 64) == "shard/3f"

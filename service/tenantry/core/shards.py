"""Shards: the tenants of a cell by the prefix of their folder, so many that Argo CD is quick with.

Each shard has one ApplicationSet and one branch. The branch stands at a commit of main, the last
that changed a folder of the shard: the set watches it, and is woken for its own tenants only.
A cell has a power of two of them, so that each holds as many prefixes as any other.
"""

from __future__ import annotations

MOST = 256  # a shard holds one prefix at least
BRANCHES = "shard/"  # what their names begin with; no other branch's does

_TENANTS = "tenants/"
_PREFIXES = 256


def is_count(shards: int) -> bool:
    """Whether a cell may have so many shards."""
    return 1 <= shards <= MOST and shards & (shards - 1) == 0


def shard_of(folder_or_prefix: str, shards: int) -> str:
    """The shard, two hex digits, of a tenant's folder, of `tenants/<xx>` or of `<xx>`."""
    prefix = folder_or_prefix.removeprefix(_TENANTS)[:2]
    return _name(int(prefix, 16) * shards // _PREFIXES)


def all_shards(shards: int) -> list[str]:
    """Every shard of a cell, in order."""
    return [_name(number) for number in range(shards)]


def prefixes(shard: str, shards: int) -> list[str]:
    """The prefixes of the folders that a shard holds, in order."""
    many = _PREFIXES // shards
    first = int(shard, 16) * many
    return [_name(number) for number in range(first, first + many)]


def folders(shard: str, shards: int) -> list[str]:
    """The folders of the tenants repository that a shard holds, in order."""
    return [f"{_TENANTS}{prefix}" for prefix in prefixes(shard, shards)]


def branch(shard: str) -> str:
    """The short name of a shard's branch."""
    return f"{BRANCHES}{shard}"


def branch_of(folder_or_prefix: str, shards: int) -> str:
    """The short name of the branch of the shard that a folder or prefix belongs to."""
    return branch(shard_of(folder_or_prefix, shards))


def _name(number: int) -> str:
    return f"{number:02x}"

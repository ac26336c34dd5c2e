"""Names of a tenant come from a random key and from nothing else."""

from __future__ import annotations

import re
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.core import naming

KEYS = st.from_regex(naming.KEY, fullmatch=True)


@given(KEYS)
def test_names_are_dns_labels_and_lead_back_to_the_key(key: str) -> None:
    for name in (naming.customer_id(key), naming.tenant_name(key)):
        assert re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", name)
        assert naming.key_of(name) == key


def test_a_new_key_is_legal() -> None:
    assert naming.KEY.fullmatch(naming.new_key(secrets.choice))


def test_every_character_of_a_key_is_drawn() -> None:
    drawn: list[str] = []

    def choice(letters: str) -> str:
        drawn.append(letters)
        return letters[-1]

    assert naming.new_key(choice) == "z" + "9" * 9
    assert drawn == [naming.LETTERS] + [naming.ALPHABET] * 9


@pytest.mark.parametrize(
    "name",
    ["", "cust-", "cust-short", "cust-1cdfghjkmn", "cust-bcdfghjkma", "acme-bcdfghjkmn", "../x",
     "cust-bcdfghjkmn\n", "Cust-bcdfghjkmn"],
)  # fmt: skip
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"not a tenant key|neither customer id"):
        naming.key_of(name)


def test_folder_is_sharded_by_the_hash_of_the_name() -> None:
    assert naming.folder("customer-bcdfghjkmn") == "tenants/93/customer-bcdfghjkmn"

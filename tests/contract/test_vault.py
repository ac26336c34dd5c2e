"""Secret values at rest: what opens them, what does not, and what shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tenantry.adapters.vault import Vault, token_digest
from tenantry.core.errors import KeysMissing, VaultError
from tenantry.flows.keys import VAULT_KEYS, load_vault

SECRET = "zażółć 🔑\n"


def new_key() -> str:
    return Fernet.generate_key().decode()


OLD, NEW = new_key(), new_key()


@pytest.mark.parametrize("value", ["", SECRET, "x" * 100_000], ids=["empty", "text", "long"])
def test_what_was_wrapped_opens_again(value: str) -> None:
    vault = Vault([OLD])
    assert vault.unwrap(vault.wrap(value)) == value


def test_wrapping_hides_the_value_and_is_never_the_same() -> None:
    vault = Vault([OLD])
    first, second = vault.wrap(SECRET), vault.wrap(SECRET)
    assert first != second
    assert SECRET.encode() not in first


def test_wrapped_values_open_with_the_library_alone() -> None:
    """A restore needs nothing of ours but the key."""
    assert Fernet(OLD).decrypt(Vault([OLD]).wrap(SECRET)) == SECRET.encode()


def test_new_key_first_wraps_and_the_old_one_still_opens() -> None:
    before, after = Vault([OLD]), Vault([NEW, OLD])
    assert after.unwrap(before.wrap(SECRET)) == SECRET
    assert Vault([NEW]).unwrap(after.wrap(SECRET)) == SECRET
    with pytest.raises(VaultError):
        before.unwrap(after.wrap(SECRET))


def test_key_that_left_the_ring_is_an_error_that_says_so() -> None:
    with pytest.raises(VaultError, match="must stay in the ring"):
        Vault([NEW]).unwrap(Vault([OLD]).wrap(SECRET))


@pytest.mark.parametrize("broken", [b"", b"plain", b"gAAAAA=="])
def test_damaged_value_is_an_error(broken: bytes) -> None:
    with pytest.raises(VaultError):
        Vault([OLD]).unwrap(broken)


def test_every_single_changed_byte_is_noticed() -> None:
    wrapped = Vault([OLD]).wrap("v")
    for place in range(0, len(wrapped) - 2, 7):
        changed = bytearray(wrapped)
        changed[place] = ord("A") if changed[place] != ord("A") else ord("B")
        with pytest.raises(VaultError):
            Vault([OLD]).unwrap(bytes(changed))


def test_vault_without_a_key_is_refused() -> None:
    with pytest.raises(KeysMissing, match="no key"):
        Vault([])


@pytest.mark.parametrize("key", ["short", "ü" * 44, "A" * 42 + "==", "A" * 48])
def test_key_of_another_form_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(KeysMissing, match="32 random bytes") as caught:
        Vault([key])
    assert key not in str(caught.value)


def test_vault_shows_nothing_of_itself() -> None:
    assert repr(Vault([OLD])) == str(Vault([OLD])) == "Vault(***)"


def test_file_has_one_key_a_line_with_comments_and_the_newest_first(tmp_path: Path) -> None:
    (tmp_path / VAULT_KEYS).write_text(f"# since 2026\n{NEW}\r\n\n  {OLD}\n")
    vault = load_vault(tmp_path, production=True)
    assert vault.unwrap(Vault([OLD]).wrap(SECRET)) == SECRET
    assert Vault([NEW]).unwrap(vault.wrap(SECRET)) == SECRET


def test_file_without_a_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / VAULT_KEYS).write_text("# nothing yet\n\n")
    with pytest.raises(KeysMissing, match="no key"):
        load_vault(tmp_path, production=True)


def test_digest_of_a_token_is_plain_sha256_and_only_its_own() -> None:
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert token_digest("abc") == digest

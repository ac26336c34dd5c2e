"""However many sign up at once, memory holds for their passwords."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import pytest
from argon2 import PasswordHasher, extract_parameters

from tenantry.adapters import passwords

CORES = os.cpu_count() or 1
WITHIN = 20.0  # seconds; only what is broken takes them


@pytest.mark.parametrize(("processes", "at_once"), [(1, CORES), (CORES, 1), (100, 1)])
def test_no_more_are_hashed_at_once_than_this_process_has_cores(
    monkeypatch: pytest.MonkeyPatch, processes: int, at_once: int
) -> None:
    monkeypatch.setattr(passwords, "_turns", None)  # put back afterwards
    passwords.share_cores(processes)
    at_work, most, go_on = list[str](), list[int](), threading.Event()

    class Hasher:
        def hash(self, password: str) -> str:
            at_work.append(password)
            most.append(len(at_work))
            go_on.wait(WITHIN)
            at_work.remove(password)
            return f"hash of {password}"

    monkeypatch.setattr(passwords, "_HASHER", Hasher())
    waiting: Any = passwords._turns._cond._waiters  # type: ignore[attr-defined]
    words = [f"password {number}" for number in range(at_once + 5)]
    with ThreadPoolExecutor(len(words)) as pool:
        hashed = pool.map(passwords.hash_password, words)
        end = time.monotonic() + WITHIN
        while len(waiting) + len(at_work) < len(words) and time.monotonic() < end:
            time.sleep(0.001)
        beside = len(waiting)
        go_on.set()
        assert list(hashed) == [f"hash of {word}" for word in words]
    assert (max(most), beside) == (at_once, 5)


def test_a_failure_lets_the_next_one_in(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def hash(self, _: str) -> str:
            raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(passwords, "_HASHER", Broken())
        for _ in range(CORES + 1):
            with pytest.raises(MemoryError):
                passwords.hash_password("password")
    assert passwords.hash_password("password").startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_hash_is_of_its_password() -> None:
    hashed = passwords.hash_password("Kanári-€42")
    assert PasswordHasher().verify(hashed, "Kanári-€42")
    assert hashed != passwords.hash_password("Kanári-€42")


@pytest.mark.parametrize("stored", [None, passwords.NO_PASSWORD])
def test_an_account_that_is_not_there_takes_as_much_work(
    monkeypatch: pytest.MonkeyPatch, stored: str | None
) -> None:
    against: list[str] = []

    class Hasher(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
            against.append(str(hash))
            return super().verify(hash, password)

    monkeypatch.setattr(passwords, "_HASHER", Hasher(2, 19 * 1024, 1))
    assert not passwords.verify_password(stored, "a password")
    (dummy,) = against
    assert extract_parameters(dummy) == extract_parameters(passwords.hash_password("another"))


def test_a_stored_value_that_is_no_hash_opens_nothing() -> None:
    assert not passwords.verify_password("no hash", "no hash")

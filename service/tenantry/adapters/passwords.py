"""Password hashing: argon2id with OWASP's parameters, bounded in how many run at once.

Each hash takes 19 MiB: unbounded, a burst of signups would be a way to run the host out of memory.
What waits here is bounded, too, by what calls: a web process has `web_threads` threads and no more
requests at work, so at most that many wait, each for a few hashes. Requests beyond them wait in
gunicorn's own queue and the listening socket's, where they cost no memory worth speaking of; a
refusal here would turn away clients that are served within seconds.
"""

from __future__ import annotations

import os
import secrets
import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

NO_PASSWORD = "!"  # noqa: S105 - in place of a hash: no password opens the account
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_CORES = os.cpu_count() or 1
_turns = threading.BoundedSemaphore(_CORES)


def share_cores(processes: int) -> None:
    """Hash on a share of the cores from now on, one at least, where so many processes hash on them:
    hashes that take turns on a core are done sooner than those that share its cache.
    """
    global _turns  # noqa: PLW0603 - said once, before a process serves
    _turns = threading.BoundedSemaphore(max(1, _CORES // processes))


def hash_password(password: str) -> str:
    """The argon2id hash in PHC format; about 20 ms of one core."""
    with _turns:
        return _HASHER.hash(password)


def verify_password(stored: str | None, password: str) -> bool:
    """Whether the stored hash is of this password. Takes as long where there is no hash (None, or
    NO_PASSWORD), so that the time does not tell whether there is an account.
    """
    try:
        with _turns:
            return _HASHER.verify(_nobodys() if stored in (None, NO_PASSWORD) else stored, password)
    except (VerificationError, InvalidHashError):
        return False


def is_outdated(stored: str) -> bool:
    """Whether the hash was made with other parameters than one is made with now."""
    return _HASHER.check_needs_rehash(stored)


@cache
def _nobodys() -> str:
    return _HASHER.hash(secrets.token_urlsafe())

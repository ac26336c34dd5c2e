"""Password hashing: argon2id with OWASP's parameters, bounded in how many run at once.

Each hash takes 19 MiB: unbounded, a burst of signups would be a way to run the host out of memory.
"""

from __future__ import annotations

import os
import threading

from argon2 import PasswordHasher

_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_AT_ONCE = threading.BoundedSemaphore(2 * (os.cpu_count() or 1))


def hash_password(password: str) -> str:
    """The argon2id hash in PHC format; about 20 ms of one core."""
    with _AT_ONCE:
        return _HASHER.hash(password)

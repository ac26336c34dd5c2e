"""Free ports of this machine, for servers that tests and measurements start."""

from __future__ import annotations

import secrets
import socket

# Below those that systems give to connections, of which other tests make many: one would else take
# a port between a look at it and its server's start.
NEVER_GIVEN = range(15_000, 32_000, 2)


def free_port() -> int:
    """A loopback port that nothing listens at. It is free, but not kept: start the server soon."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_port_and_next() -> int:
    """A port that is free, as is the next one, and that no outgoing connection is given, however
    long the server takes to start.
    """
    while True:
        port = secrets.choice(NEVER_GIVEN)
        with socket.socket() as one, socket.socket() as next_one:
            try:
                one.bind(("127.0.0.1", port))
                next_one.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def is_open(port: int) -> bool:
    """Whether something listens at a loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True

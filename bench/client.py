"""A client that signs up customers and costs as little as one can: prepared bytes, kept
connections, one thread.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys

CONNECTIONS = 16


class Client:
    """Sends prepared signups over kept connections, each as soon as the last was answered."""

    def __init__(self, port: int) -> None:
        self._address = ("127.0.0.1", port)
        self._numbers = iter(range(sys.maxsize))

    def sign_up(self, count: int) -> None:
        """So many signups, all of them answered 201; RuntimeError otherwise."""
        waiting = [self._request(next(self._numbers)) for _ in range(count)]
        with selectors.DefaultSelector() as selector:
            for _ in range(min(CONNECTIONS, count)):
                connection = socket.create_connection(self._address, timeout=60)
                connection.sendall(waiting.pop())
                selector.register(connection, selectors.EVENT_READ, bytearray())
            while selector.get_map():
                for key, _ in selector.select(60):
                    _receive(selector, key, waiting)

    def _request(self, number: int) -> bytes:
        fields = {
            "email": f"bench-{number}@example.com",
            "password": f"SecurePass{number}",
            "company_name": f"Company {number}",
            "time_zone": "Europe/Berlin",
        }
        body = json.dumps(fields).encode()
        return (
            b"POST /api/customers/signup HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )


def _receive(
    selector: selectors.BaseSelector, key: selectors.SelectorKey, waiting: list[bytes]
) -> None:
    connection, received = key.fileobj, key.data
    assert isinstance(connection, socket.socket)
    received += connection.recv(65_536)
    head, separator, body = received.partition(b"\r\n\r\n")
    if not received.startswith(b"HTTP/1.1 201 "[: len(received)]) or not received:
        raise RuntimeError(bytes(received[:200]).decode("latin-1"))
    if not separator or len(body) < _length(head):
        return
    received.clear()
    if waiting:
        connection.sendall(waiting.pop())
    else:
        selector.unregister(connection)
        connection.close()


def _length(head: bytearray) -> int:
    return int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])

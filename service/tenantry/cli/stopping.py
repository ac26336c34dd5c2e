"""Programs that run until they are told to stop."""

from __future__ import annotations

import signal
import socket


class Told:
    """SIGTERM and Ctrl-C, as something to wait for in the main thread.

    A handler of Python's own runs in the middle of whatever the main thread does, so one that takes
    a lock (an Event's, say) can wait for itself. The system's handler only writes into a socket, in
    whichever thread it runs.
    """

    def __init__(self) -> None:
        self._receives, self._sends = socket.socketpair()
        self._sends.setblocking(False)
        signal.set_wakeup_fd(self._sends.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)

    def wait(self) -> None:
        """Until one has come."""
        while self._receives.recv(1)[0] not in (signal.SIGTERM, signal.SIGINT):
            pass

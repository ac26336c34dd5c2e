"""Programs that run until they are told to stop."""

from __future__ import annotations

import signal
import threading


def listen() -> threading.Event:
    """An event that SIGTERM and Ctrl-C set."""
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    return told


def wait(told: threading.Event) -> None:
    """Until it is set. A signal that another thread received wakes no sleeper, so this one looks
    by itself, too.
    """
    while not told.wait(1.0):
        pass

"""`tenantry worker`: publish, watch and send mail until told to stop."""

from __future__ import annotations

import signal
import threading

import click

from tenantry import logs, settings, wiring
from tenantry.worker import Worker


@click.command()
def worker() -> None:
    """Publish tenants, follow Argo CD, send mail; until SIGTERM or Ctrl-C."""
    configured = settings.load()
    logs.configure(configured.log_format)
    service = wiring.build(configured)
    running = Worker(service, configured)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    running.start()
    while not stopping.wait(1.0):  # a signal that another thread received wakes no sleeper
        pass
    running.stop()
    service.database.close()

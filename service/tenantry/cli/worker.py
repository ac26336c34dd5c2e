"""`tenantry worker`: publish, watch and send mail until told to stop."""

from __future__ import annotations

import click

from tenantry import logs, settings, wiring
from tenantry.cli.stopping import Told
from tenantry.worker import Worker


@click.command()
def worker() -> None:
    """Publish tenants, follow Argo CD, send mail; until SIGTERM or Ctrl-C."""
    configured = settings.load()
    logs.configure(configured.log_format)
    service = wiring.build(configured)
    running = Worker(service, configured)
    told = Told()
    running.start()
    told.wait()
    running.stop()
    service.database.close()

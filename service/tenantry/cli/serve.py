"""`tenantry serve`: signup, status pages and API, under gunicorn."""

from __future__ import annotations

import click

from tenantry import logs, settings, wiring
from tenantry.web.server import Server, require_free


@click.command()
@click.option("--host", help="Address to listen at. [default: TENANTRY_HOST]")
@click.option("--port", type=int, help="Port to listen at. [default: TENANTRY_PORT]")
def serve(host: str | None, port: int | None) -> None:
    """Serve signup, status pages and API; until SIGTERM or Ctrl-C."""
    given = {"host": host, "port": port}
    configured = settings.load(
        **{name: value for name, value in given.items() if value is not None}
    )
    logs.configure(configured.log_format)
    require_free(configured.host, configured.port)
    wiring.build(configured).database.close()  # what is wrong is said here, not by each process
    Server(configured).run()

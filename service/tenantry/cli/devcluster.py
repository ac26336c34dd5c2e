"""`tenantry dev cluster`: the development stand-in for Argo CD and a cluster."""

from __future__ import annotations

from pathlib import Path

import click

from tenantry import logs
from tenantry.adapters.product_folder import read_product_folder
from tenantry.cli.devbreaks import break_, mend
from tenantry.cli.stopping import Told
from tenantry.core.errors import SettingsError
from tenantry.devcluster import DevCluster, DevClusterSettings, clock
from tenantry.devcluster.provider import Provider
from tenantry.devcluster.settings import ACCOUNTS, Payments

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_TOKEN_REMEDY = f"one token (tenantry's), or lines of account and token: {', '.join(ACCOUNTS)}"


@click.group()
def dev() -> None:
    """Tools for development; no part of production."""


dev.add_command(break_)
dev.add_command(mend)


@dev.command()
@click.option("--repository", required=True, help="Tenants repository: path of a bare one, or URL.")
@click.option("--port", type=int, default=3101, show_default=True, help="0: any free port.")
@click.option("--sealing-key", type=_FILE, required=True, help="PEM key that opens SealedSecrets.")
@click.option("--token-file", type=_FILE, required=True, help="The API's tokens.")
@click.option("--webhook-secret-file", type=_FILE, required=True, help="Secret of the nudges.")
@click.option("--step-seconds", type=float, default=0.3, show_default=True, help="Between states.")
@click.option("--poll-seconds", type=float, default=180.0, show_default=True, help="Without nudge.")
@click.option("--time-scale", type=float, default=0.1, show_default=True, help="Of long waits.")
@click.option(
    "--clock-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="How far ahead the time is, as TENANTRY_CLOCK_FILE.  [default: the real time]",
)
@click.option("--payments-to", metavar="URL", help="Service to tell what is paid at /payments.")
@click.option("--payments-secret-file", type=_FILE, help="Signs that: its billing secret.")
@click.option(
    "--product",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Whose plans are paid.",
)
@click.option("--audience", help="Product that licenses must be for. [default: any]")
def cluster(
    repository: str,
    port: int,
    sealing_key: Path,
    token_file: Path,
    webhook_secret_file: Path,
    step_seconds: float,
    poll_seconds: float,
    time_scale: float,
    clock_file: Path | None,
    payments_to: str | None,
    payments_secret_file: Path | None,
    product: Path | None,
    audience: str | None,
) -> None:
    """Stand in for Argo CD and a cluster, until SIGTERM or Ctrl-C."""
    logs.configure("text")
    if clock_file:
        clock.follow(clock_file)
    settings = DevClusterSettings(
        repository=repository,
        sealing_key=sealing_key,
        tokens=read_tokens(token_file),
        webhook_secret=webhook_secret_file.read_text().strip(),
        port=port,
        step_seconds=step_seconds,
        poll_seconds=poll_seconds,
        time_scale=time_scale,
        audience=audience,
        payments=_payments(payments_to, payments_secret_file, product),
    )
    told = Told()
    with DevCluster(settings) as running:
        click.echo(f"development stand-in for Argo CD and a cluster: {running.url}/")
        told.wait()


def _payments(url: str | None, secret: Path | None, product: Path | None) -> Payments | None:
    if not (url and secret and product):
        if url or secret or product:
            needed = "--payments-to, --payments-secret-file and --product"
            raise click.UsageError(f"{needed} go together")
        return None
    return Payments(read_product_folder(product).product, Provider(url.rstrip("/"), secret))


def read_tokens(file: Path) -> dict[str, str]:
    """Tokens by account: a single bare one is tenantry's. SettingsError where it is neither."""
    lines = [line.split() for line in file.read_text().splitlines() if line.strip()]
    if len(lines) == 1 and len(lines[0]) == 1:
        return {"tenantry": lines[0][0]}
    if not lines or any(len(line) != 2 or line[0] not in ACCOUNTS for line in lines):
        raise SettingsError(f"{file.name} holds no tokens", remedy=_TOKEN_REMEDY)
    return {line[0]: line[1] for line in lines}

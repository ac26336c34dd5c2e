"""The `tenantry` command. Exit codes: 0 done, 1 failed (one line says why), 2 wrong usage."""

from __future__ import annotations

import os
import sys

import click

from tenantry import __version__, logs
from tenantry.adapters import process
from tenantry.cli.changes import changes
from tenantry.cli.check import check
from tenantry.cli.customers import customers
from tenantry.cli.database import db
from tenantry.cli.demo.command import demo
from tenantry.cli.devcluster import dev
from tenantry.cli.diff import diff
from tenantry.cli.doctor import doctor
from tenantry.cli.flags import flags
from tenantry.cli.init import init
from tenantry.cli.keys import keys
from tenantry.cli.license import license_command
from tenantry.cli.mail import mail_command
from tenantry.cli.platform import platform
from tenantry.cli.repo import repo
from tenantry.cli.serve import serve
from tenantry.cli.stats import stats
from tenantry.cli.status import status
from tenantry.cli.synthetic import synthetic
from tenantry.cli.tenants import tenants
from tenantry.cli.terminal import echo
from tenantry.cli.worker import worker
from tenantry.core.errors import TenantryError
from tenantry.core.frames import frames
from tenantry.settings import TOOLS


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tenantry")
def cli() -> None:
    """A signup becomes a running, licensed tenant, through Git."""


for command in (
    changes, check, customers, db, demo, dev, diff, doctor, flags, init, keys, license_command,
    mail_command, platform, repo, serve, stats, status, synthetic, tenants, worker,
):  # fmt: skip
    cli.add_command(command)


def main() -> None:
    """Run the command; whatever it raises becomes one line and exit code 1. A foreign exception is
    told by where it happened: its message may quote a customer's data.
    """
    os.umask(0o077)  # database, mail and logs hold what is for this user only
    process.add_program_folder(TOOLS)
    logs.configure("text")  # to standard error; what runs as a service sets its own form
    try:
        cli()
    except TenantryError as error:
        echo(f"tenantry: {error}", err=True)
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - Python would print its message
        where = "; ".join(frames(error))
        echo(f"tenantry: failed by a fault of its own, please report it: {where}", err=True)
        sys.exit(1)

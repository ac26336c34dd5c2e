"""`tenantry check PATH`: what is wrong in a checked-out tenants repository (R27)."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import click

from tenantry import settings
from tenantry.adapters.kustomize import KUSTOMIZE_REMEDY, Kustomize
from tenantry.adapters.process import find_program
from tenantry.adapters.product_folder import read_product_folder
from tenantry.adapters.schemas import load_schemas
from tenantry.cli.options import json_option, product_option
from tenantry.flows.check_platforms import check_platforms
from tenantry.flows.check_repository import Report, check_repository


@click.command("check")
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@product_option
@click.option(
    "--base",
    metavar="COMMIT",
    help="The branch or commit that this is to be merged into: also refuse what changes a platform "
    "version that tenants run.",
)
@json_option
def check(path: Path, product_dir: Path | None, base: str | None, as_json: bool) -> None:
    """Check every tenant of the tenants repository checked out at PATH.

    Exits with 0 when nothing is wrong, else with 1 and one line for each problem.
    """
    vendor = read_product_folder(product_dir or settings.load().product_dir)
    report = check_repository(
        path,
        product=vendor.product,
        templates=vendor.templates,
        kustomize=Kustomize(find_program("kustomize", remedy=KUSTOMIZE_REMEDY)),
        schemas=load_schemas(),
    )
    if base is not None:
        report = replace(report, problems=[*check_platforms(path, base), *report.problems])
    click.echo(_as_json(report) if as_json else _as_text(report))
    if report.problems:
        raise click.exceptions.Exit(1)


def _as_json(report: Report) -> str:
    return json.dumps(asdict(report), ensure_ascii=False)


def _as_text(report: Report) -> str:
    count = f"{report.tenants} tenants in {report.classes} classes, {report.builds} built"
    end = f"{len(report.problems)} problems" if report.problems else "nothing wrong"
    lines = [str(problem) for problem in report.problems]
    return "\n".join([*lines, f"{count}: {end}; schemas: {report.schemas}"])

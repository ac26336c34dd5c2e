"""`tenantry platform show`: a whole platform on one page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tenantry.adapters.git import create_bare
from tenantry.cli.main import cli
from tenantry.core.errors import PlatformRefused
from tests.built import EXAMPLES
from tests.programs import require

Show = Callable[..., Result]
INKWELL = next(path for path in EXAMPLES if path.name == "inkwell")


@pytest.fixture
def show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Show:
    require("kustomize")
    create_bare(repository := tmp_path / "tenants.git")
    monkeypatch.setenv("TENANTRY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TENANTRY_CELLS__MAIN__REPOSITORY_URL", str(repository))

    def run(product: Path, *options: str) -> Result:
        arguments = ["platform", "show", "--product", str(product), *options]
        return CliRunner().invoke(cli, arguments)

    return run


def test_every_plan_and_state_is_built_and_summed_up(show: Show) -> None:
    result = show(INKWELL, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["version"] == "r1"
    assert {plan: each["pods"] for plan, each in found["plans"].items()} == {"solo": 2, "team": 3}
    assert {state: each["pods"] for state, each in found["states"].items()} == {
        "active": 3, "read-only": 3, "suspended": 0, "deleting": 0,
    }  # fmt: skip
    assert found["plans"]["team"]["volumes"] == {"notes": "10Gi"}
    assert found["states"]["suspended"]["routes"] == {}
    assert found["states"]["active"]["routes"] == {"/": "web:80"}
    protected = {state: each["is_protected"] for state, each in found["states"].items()}
    assert protected == {"active": True, "read-only": True, "suspended": True, "deleting": False}


def test_people_read_a_table(show: Show) -> None:
    lines = show(INKWELL).stdout.splitlines()
    assert lines[0] == "Inkwell, platform r1"
    (web,) = [line for line in lines if line.startswith("web ")]
    said = "web nginx-unprivileged:1.28.0-alpine 50m 32Mi 2 × 100m 64Mi"
    assert " ".join(web.split()) == said
    assert any(line.split() == ["suspended", "0", "1,", "protected", "none"] for line in lines)


def with_quota(folder: Path, before: str, after: str) -> Path:
    """The sample product, with another quota of its smaller plan."""
    product = folder / "inkwell"
    shutil.copytree(INKWELL, product)
    quota = product / "platform/r1/plans/solo/quota.yaml"
    said = quota.read_text()
    assert before in said
    quota.write_text(said.replace(before, after))
    return product


def test_a_platform_that_does_not_build_is_told(show: Show, tmp_path: Path) -> None:
    result = show(with_quota(tmp_path, 'pods: "6"', 'pods: "2"'))
    assert isinstance(result.exception, PlatformRefused)
    assert "pods is 2" in str(result.exception)


def test_a_plan_that_no_tenant_could_come_down_to_is_told(show: Show, tmp_path: Path) -> None:
    """Its quota holds a rollout of its own pods, but no old ones of the larger plan."""
    result = show(with_quota(tmp_path, "limits.cpu: 1300m", "limits.cpu: 1000m"))
    assert isinstance(result.exception, PlatformRefused)
    (problem,) = result.exception.problems
    told = "from plan team to plan solo: ResourceQuota/plan: spec.hard.limits.cpu: 2500m → 1000m: "
    assert problem.startswith(f"{told}1.2 is needed while old pods of Deployment/web stay")

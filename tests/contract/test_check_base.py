"""`tenantry check --base`: a platform version that tenants run stays as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tenantry import assets
from tenantry.cli.check import check
from tenantry.core import naming
from tenantry.core.errors import RepositoryError
from tenantry.flows.check_platforms import check_platforms
from tests.overlays import rendered, spec, write_repository
from tests.programs import require

FIRST, SECOND = spec(), spec("cdfghjkmnp")
FILE = "platform/v1/base/kustomization.yaml"


class Checkout:
    """A work tree on a branch that forked from main."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git("init", "-q", "-b", "main")
        write_repository(root, FIRST)
        self.commit()
        self.git("checkout", "-q", "-b", "change")

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=R", "-c", "user.email=r@example.com")
        return subprocess.run(
            ["git", "-C", str(self.root), *identity, *arguments],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    def commit(self) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "change")
        return self.git("rev-parse", "HEAD")

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def problems(self, base: str = "main") -> list[str]:
        return [str(problem) for problem in check_platforms(self.root, base)]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_a_change_elsewhere_is_no_problem(checkout: Checkout) -> None:
    checkout.write("README.md", "ours")
    checkout.write("platform/v2/base/kustomization.yaml", "resources: []")
    checkout.commit()
    assert checkout.problems() == []


@pytest.mark.parametrize("is_committed", [True, False])
@pytest.mark.parametrize("path", [FILE, "platform/v1/base/another.yaml"])
def test_a_version_that_a_tenant_runs_may_not_change(
    checkout: Checkout, path: str, is_committed: bool
) -> None:
    checkout.write(path, "resources: []")
    if is_committed:
        checkout.commit()
    (problem,) = checkout.problems()
    assert problem.startswith(f"platform/v1: changes ({path}), and {FIRST.name} runs it (add a new")


def test_nor_go_even_with_its_last_tenant(checkout: Checkout) -> None:
    shutil.rmtree(checkout.root / "platform/v1")
    shutil.rmtree(checkout.root / "tenants")
    checkout.commit()
    (problem,) = checkout.problems()
    assert problem.startswith("platform/v1: is removed, and")


def test_one_that_nobody_runs_may_change_and_go(checkout: Checkout) -> None:
    checkout.git("checkout", "-q", "main")
    checkout.write("platform/v2/base/kustomization.yaml", "resources: []")
    checkout.write("platform/v3/base/kustomization.yaml", "resources: []")
    checkout.commit()
    checkout.git("checkout", "-q", "-B", "change")
    checkout.write("platform/v2/base/kustomization.yaml", "{}")
    shutil.rmtree(checkout.root / "platform/v3")
    checkout.commit()
    assert checkout.problems() == []


def test_a_tenant_that_came_after_the_fork_counts(checkout: Checkout) -> None:
    shutil.rmtree(checkout.root / "tenants")
    checkout.git("checkout", "-q", "main", "--", "tenants")
    checkout.write(FILE, "resources: []")
    checkout.commit()
    checkout.git("checkout", "-q", "main")
    for path, content in rendered(SECOND).items():
        checkout.write(f"{naming.folder(SECOND.name)}/{path}", content.decode())
    checkout.commit()
    checkout.git("checkout", "-q", "change")
    (problem,) = checkout.problems()
    assert "and 1 more run it" in problem


def test_a_version_that_main_got_after_the_fork_is_not_missed(checkout: Checkout) -> None:
    checkout.write("README.md", "ours")
    checkout.commit()
    checkout.git("checkout", "-q", "main")
    checkout.write("platform/v2/base/kustomization.yaml", "resources: []")
    checkout.commit()
    checkout.git("checkout", "-q", "change")
    assert checkout.problems() == []


@pytest.mark.parametrize("base", ["nowhere", "--help", "-z", "0" * 40])
def test_a_base_that_is_not_here_is_told(checkout: Checkout, base: str) -> None:
    with pytest.raises(RepositoryError, match="there is no commit"):
        checkout.problems(base)


def test_a_base_without_a_common_commit_is_told(checkout: Checkout) -> None:
    checkout.git("checkout", "-q", "--orphan", "other")
    checkout.write("README.md", "another beginning")
    checkout.commit()
    with pytest.raises(RepositoryError, match="share no commit"):
        checkout.problems()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_checkout_of_another_user_is_read(checkout: Checkout) -> None:
    checkout.write(FILE, "resources: []")
    for path in (checkout.root, *checkout.root.rglob("*")):
        os.lchown(path, 12_345, 12_345)
    assert len(checkout.problems()) == 1


# The command, and the CI that runs it


def _run(*arguments: str) -> Result:
    require("kustomize")
    return CliRunner().invoke(check, list(arguments))


def test_the_command_refuses_and_ends_with_1(checkout: Checkout) -> None:
    checkout.write(f"{FILE[: -len('kustomization.yaml')]}notes.yaml", "# for later")
    checkout.commit()
    result = _run(str(checkout.root), "--base", "main")
    assert (result.exit_code, "platform/v1: changes" in result.output) == (1, True)
    assert _run(str(checkout.root)).exit_code == 0


def _template(name: str) -> Any:
    return yaml.safe_load((assets.path("tenants") / name).read_text())


def test_the_workflow_runs_what_the_command_takes(checkout: Checkout, tmp_path: Path) -> None:
    step = _template(".github/workflows/check.yml")["jobs"]["check"]["steps"][-1]
    place = tmp_path / "bin"
    place.mkdir()
    (place / "docker").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (place / "docker").chmod(0o755)
    environment = {"PATH": f"{place}:/usr/bin:/bin", "IMAGE": "image:1", "BASE": "main"}
    words = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", step["run"]],
        cwd=checkout.root,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    options, arguments = words[: words.index("image:1")], words[words.index("image:1") + 1 :]
    assert {"--read-only", "--rm"} <= set(options)
    assert f"{checkout.root}:/repository:ro" in options
    assert arguments[:2] == ["check", "/repository"]
    assert _run(str(checkout.root), *arguments[2:]).exit_code == 0


def test_the_workflow_says_which_variable_is_missing(tmp_path: Path) -> None:
    step = _template(".github/workflows/check.yml")["jobs"]["check"]["steps"][-1]
    done = subprocess.run(
        ["bash", "-c", step["run"]],
        env={"PATH": "/usr/bin:/bin", "IMAGE": "", "BASE": "HEAD"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "set the variable TENANTRY_IMAGE" in done.stderr


def test_the_workflow_may_read_and_nothing_else(tmp_path: Path) -> None:
    workflow = _template(".github/workflows/check.yml")
    assert workflow["permissions"] == {"contents": "read"}
    uses = [step["uses"] for step in workflow["jobs"]["check"]["steps"] if "uses" in step]
    assert all(len(used.partition("@")[2]) == 40 for used in uses)


def test_the_pipeline_of_gitlab_runs_the_command(checkout: Checkout) -> None:
    require("kustomize")
    job = _template(".gitlab-ci.yml")["check"]
    checkout.write(FILE, "resources: []")
    base = checkout.git("rev-parse", "main")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", "\n".join(job["script"])],
        cwd=checkout.root,
        env={"PATH": path, "CI_MERGE_REQUEST_DIFF_BASE_SHA": base},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "platform/v1: changes" in done.stdout

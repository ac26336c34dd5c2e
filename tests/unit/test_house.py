"""Rules of the house that no linter knows: who may do what, and what a checkout may contain."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenantry import assets
from tenantry.core.errors import SettingsError

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "service/tenantry"
CORE_MAY_IMPORT = {
    "tenantry",
    *("pydantic", "pydantic_core", "jinja2", "yaml", "jwt", "cryptography"),
    "email_validator",  # a form of e-mail addresses is a rule, not I/O
}
REQUIREMENT = re.compile(r"^([a-z0-9][a-z0-9.-]*)==(\S+)(?: ; [^\\]+)? \\$")


# --- Who may do what ---


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield str(path.relative_to(PACKAGE)), ast.parse(path.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    """Full names of what a module imports, such as `os.environ` for `from os import environ`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def attributes(tree: ast.Module) -> Iterator[str]:
    """`name.attribute`, wherever a module says so."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


def called(tree: ast.Module) -> Iterator[str]:
    """`name.attribute` of each call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from attributes(ast.Module([ast.Expr(node.func)], []))


def test_only_one_module_reads_the_environment() -> None:
    environment = {"os.environ", "os.environb", "os.getenv", "os.getenvb"}
    readers = {
        name for name, tree in modules() if environment & {*imported(tree), *attributes(tree)}
    }
    assert readers <= {"environment.py"}  # beside what pydantic reads for `settings.py`


def test_only_one_module_runs_programs() -> None:
    """Others may name the types of `subprocess`, but call nothing of it."""
    starting = re.compile(r"subprocess\.|os\.(system|popen|fork|exec|spawn|posix_spawn)|pty\.")
    runners = {
        name
        for name, tree in modules()
        if any(map(starting.match, called(tree)))
        or any(re.match(r"subprocess\.[a-z]", full) for full in imported(tree))
    }
    assert runners == {"adapters/process.py"}


def test_only_one_module_makes_http_sessions() -> None:
    """A session that nobody hardened takes proxies, passwords and certificates from outside."""
    making = re.compile(r"requests\.(Session|session|get|post|put|patch|delete|head|request)$")
    others = re.compile(r"(urllib\.request|http\.client|urllib3\.PoolManager|httpx|aiohttp)\b")
    makers = {
        name
        for name, tree in modules()
        if any(map(making.match, called(tree)))
        or any(making.match(full) for full in imported(tree))
        or any(map(others.match, [*imported(tree), *called(tree)]))
    }
    assert makers == {"adapters/http.py"}


def test_core_imports_only_what_computes() -> None:
    foreign = {
        (name, full)
        for name, tree in modules()
        if name.startswith("core/")
        for full in imported(tree)
        if full.partition(".")[0] not in CORE_MAY_IMPORT | sys.stdlib_module_names
    }
    assert foreign == set()


def test_code_does_not_know_the_product_by_name() -> None:
    knowing = [
        path.relative_to(ROOT)
        for path in sorted(PACKAGE.rglob("*"))
        if path.is_file()
        and "__pycache__" not in path.parts
        and b"iotistic" in path.read_bytes().lower()
    ]
    assert knowing == []


# --- Assets ---


@pytest.mark.parametrize("name", ["tenant_templates", "tenants"])
def test_assets_are_found_in_a_checkout(name: str) -> None:
    assert assets.path(name) == ROOT / name


def test_assets_of_a_wheel_come_before_a_folder_that_happens_to_lie_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, beside = tmp_path / "tenantry/_assets", tmp_path
    monkeypatch.setattr(assets, "_PLACES", (inside, beside))
    (beside / "tenants").mkdir()
    (inside / "tenants").mkdir(parents=True)
    assert assets.path("tenants") == inside / "tenants"


def test_missing_assets_are_a_settings_error_with_a_remedy() -> None:
    with pytest.raises(SettingsError, match=r"no folder 'recipes'.*install tenantry again"):
        assets.path("recipes")


# --- Locks ---


def locked(name: str) -> dict[str, str]:
    """Package -> version, of a lock whose every line is understood."""
    pins: dict[str, str] = {}
    hashed = set()
    for line in (ROOT / "requirements" / name).read_text().splitlines():
        if found := REQUIREMENT.match(line):
            pins[found[1]] = found[2]
        elif re.match(r"    --hash=sha256:[0-9a-f]{64}( \\)?$", line):
            hashed.add(list(pins)[-1])
        else:
            assert re.match(r" *#", line), line
    assert pins
    assert hashed == pins.keys()
    return pins


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~! ]", requirement)[0] for requirement in requirements}


@pytest.mark.parametrize("lock", sorted(path.name for path in ROOT.glob("requirements/*.txt")))
def test_each_lock_pins_and_hashes_everything_and_names_no_host(lock: str) -> None:
    assert locked(lock)
    assert "://" not in (ROOT / "requirements" / lock).read_text()


def test_locks_hold_what_the_project_asks_for() -> None:
    groups = project()["dependency-groups"]
    development = [entry for entry in groups["dev"] if isinstance(entry, str)]
    assert names(project()["project"]["dependencies"]) <= locked("service.txt").keys()
    assert names(development) <= locked("development.txt").keys()
    assert names(groups["build"]) <= locked("build.txt").keys()


@pytest.mark.parametrize("lock", ["service.txt", "build.txt"])
def test_tests_run_with_the_versions_that_ship(lock: str) -> None:
    assert locked(lock).items() <= locked("development.txt").items()


# --- Checkout ---


@pytest.mark.parametrize(
    ("path", "is_ignored"),
    [
        ("keys/license-key.pem", True),
        ("keys/sealing.key", True),
        ("data/tenantry.db", True),
        (".demo/tenants.git/HEAD", True),
        (".venv/bin/python", True),
        (".tools/bin/kubeseal", True),
        ("tests/.screenshots/status.png", True),
        ("keys/examples/example.pub.pem", False),
        ("keys/README.md", False),
        ("tests/data/certificate.pem", False),
        ("service/tenantry/web/data/form.html", False),
    ],
)
def test_git_ignores_keys_data_and_what_is_made(
    path: str, is_ignored: bool, tmp_path: Path
) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    answer = subprocess.run(["git", "-C", tmp_path, "check-ignore", "--quiet", path], check=False)
    assert (answer.returncode == 0) is is_ignored


def test_help_lists_every_target() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    shown = subprocess.run(
        ["make", "--no-print-directory", "-C", ROOT, "help"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert [line.split()[0] for line in shown.stdout.splitlines()] == phony[1].split()

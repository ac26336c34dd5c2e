"""The virtual environment: exactly the locked packages, and the project itself, editable."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.work import fingerprint, is_stamped, run, step

VENV = Path(".venv")
LOCK = Path("requirements/development.txt")
PIP = (VENV / "bin/python", "-m", "pip", "--disable-pip-version-check", "--quiet", "install")
# Nothing is built on the way: a build would fetch its tools unlocked.
LOCKED = ("--only-binary", ":all:", "--require-hashes", "--requirement")

_REMEDY = "check that pip reaches a package index (`pip config list`, HTTPS_PROXY)"


def ensure(root: Path) -> None:
    """Make `.venv` from the lock; again when lock, Python or place of the checkout changed."""
    packages = fingerprint(root / LOCK, sys.version, str(root))
    if not is_stamped(root / VENV / "packages.stamp", packages):
        with step(root, "installing Python packages into .venv (once, about a minute)"):
            _install_packages(root)
        (root / VENV / "packages.stamp").write_text(packages)
    project = fingerprint(root / "pyproject.toml")
    if not is_stamped(root / VENV / "project.stamp", project):
        _install_project(root)
        (root / VENV / "project.stamp").write_text(project)


def _install_packages(root: Path) -> None:
    run(
        [sys.executable, "-m", "venv", "--clear", VENV],
        root=root,
        failure="cannot make the virtual environment",
        remedy="name another Python: make PYTHON=/path/to/python3",
    )
    run(
        [*PIP, *LOCKED, LOCK],
        root=root,
        failure="cannot install the locked Python packages",
        remedy=_REMEDY,
    )


def _install_project(root: Path) -> None:
    run(
        [*PIP, "--no-deps", "--no-build-isolation", "--editable", "."],
        root=root,
        failure="cannot install the project into .venv",
        remedy="repair pyproject.toml",
    )

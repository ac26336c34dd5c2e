"""Builds overlays with the real Kustomize, as Argo CD does: no plugins, no files outside folders.

A build reads folders only; `core.sources` has refused remote bases before, and the child gets an
environment without proxies, credentials or a home.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenantry.adapters.process import run
from tenantry.core.document import load_all
from tenantry.core.errors import ProductError, ProgramError, ProgramStopped

KUSTOMIZE_REMEDY = "run `make tools`, or put kustomize 5.8 or newer on PATH"


@dataclass(frozen=True)
class Kustomize:
    """The program and how long one build may take (seconds)."""

    program: str
    deadline: float = 30.0

    def build(self, folder: Path, *, root: Path | None = None) -> list[dict[str, Any]]:
        """The objects that the overlay in `folder` makes.

        `root` is left out of messages. Raises ProgramMissing, ProgramStopped (ProgramTimeout), and
        ProgramError with Kustomize's own reason.
        """
        completed = run([self.program, "build", str(folder)], deadline=self.deadline)
        if completed.returncode < 0:
            raise ProgramStopped(f"kustomize was ended by signal {-completed.returncode}")
        if completed.returncode:
            raise ProgramError(f"kustomize: {_reason(completed.stderr, root or folder)}")
        try:
            objects = load_all(completed.stdout, "kustomize's output")
        except ProductError as error:
            raise ProgramError(f"kustomize wrote what cannot be read: {error.message}") from error
        if not all(isinstance(item, Mapping) for item in objects):
            raise ProgramError("kustomize wrote something that is no object")
        return objects


def _reason(stderr: str, root: Path) -> str:
    """The program's message without the place on this machine where the build ran."""
    lines = [line for line in stderr.splitlines() if not line.startswith("# Warning")]
    text = " ".join(lines) or "failed without a word"
    for place in {str(root), str(root.resolve())}:
        text = text.replace(f"{place}/", "").replace(place, ".")
    return text.removeprefix("Error: ").strip()

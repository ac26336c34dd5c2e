"""Where programs are looked for: built ones, then PATH, then where distributions hide them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from tools.work import ROOT

_OTHER_NAMES = {
    "chromium": ("chromium-browser", "google-chrome-stable", "google-chrome"),
}
_POSTGRESQL = Path("/usr/lib/postgresql")  # Debian keeps servers of several versions off PATH
_SYSTEM = "/usr/local/sbin:/usr/sbin:/sbin"  # where servers are; often not on a person's PATH


def candidates(name: str, *, root: Path = ROOT) -> Iterator[Path]:
    """Every place that has the program, best first."""
    built = root / ".tools/bin" / name
    if built.is_file():
        yield built
    for spelling in (name, *_OTHER_NAMES.get(name, ())):
        found = shutil.which(spelling) or shutil.which(spelling, path=_SYSTEM)
        if found:
            yield Path(found)
    yield from sorted(_POSTGRESQL.glob(f"*/bin/{name}"), key=_version, reverse=True)


def find(name: str, *, root: Path = ROOT) -> Path | None:
    """The first place that has the program."""
    return next(candidates(name, root=root), None)


def _version(path: Path) -> float:
    """Of `/usr/lib/postgresql/<version>/bin/<name>`."""
    try:
        return float(path.parts[-3])
    except ValueError:
        return 0

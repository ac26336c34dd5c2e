"""R27 from outside: checks a checked-out tenants repository, trusting nothing in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tenantry.adapters.kustomize import Kustomize
from tenantry.adapters.schemas import MISSING, Schemas
from tenantry.core import naming
from tenantry.core.errors import NotFound, ProgramStopped
from tenantry.core.objects.checks import Expected
from tenantry.core.overlay import Templates
from tenantry.core.problem import Problem
from tenantry.core.product import Product
from tenantry.core.record import RECORD, Record, read_record
from tenantry.core.sources import MOST_PER_FILE, check_platform, check_sources
from tenantry.core.structure import Shape, check_structure, find_shape
from tenantry.flows.class_check import build_and_check

_Class = tuple[str, str, str]  # platform, plan, state


@dataclass(frozen=True)
class Report:
    """What `check_repository` looked at and found."""

    tenants: int
    classes: int
    builds: int
    problems: Sequence[Problem]
    schemas: str  # the Kubernetes version whose schemas were used, or why none were


def check_repository(
    path: Path,
    *,
    product: Product,
    templates: Templates,
    kustomize: Kustomize,
    schemas: Schemas | None,
) -> Report:
    """Everything that is wrong in a checked-out tenants repository.

    One tenant of each class is built and looked at in full; the others are compared with it, and
    built in full too where they differ. Raises NotFound for a path that is no such repository.
    """
    if not any((path / folder).is_dir() for folder in ("tenants", "platform")):
        raise NotFound(f"{path} is no tenants repository: it has no folder tenants/ or platform/")
    return _RepositoryCheck(path.resolve(), product, templates, kustomize, schemas).run()


@dataclass
class _RepositoryCheck:
    root: Path
    product: Product
    templates: Templates
    kustomize: Kustomize
    schemas: Schemas | None
    problems: list[Problem] = field(default_factory=list)
    tenants: int = 0
    builds: int = 0
    shapes: dict[_Class, list[Shape]] = field(default_factory=dict)
    platforms: dict[str, Mapping[str, bytes]] = field(default_factory=dict)

    def run(self) -> Report:
        for folder in self._folders():
            self.tenants += 1
            self._check_tenant(folder)
        return Report(
            self.tenants,
            len(self.shapes),
            self.builds,
            self.problems,
            f"Kubernetes {self.schemas.version}" if self.schemas else f"not checked: {MISSING}",
        )

    def _folders(self) -> list[Path]:
        """Folders of tenants; what else lies under tenants/ is a problem."""
        found: list[Path] = []
        top = self.root / "tenants"
        for shard in sorted(top.iterdir()) if top.is_dir() else ():
            if not re.fullmatch(r"[0-9a-f]{2}", shard.name) or not shard.is_dir():
                self._add(f"tenants/{shard.name}", "does not belong here")
                continue
            for folder in sorted(shard.iterdir()):
                if folder.is_dir() and not folder.is_symlink():
                    found.append(folder)
                else:
                    self._add(f"tenants/{shard.name}/{folder.name}", "is no tenant's folder")
        return found

    def _check_tenant(self, place: Path) -> None:
        folder = place.relative_to(self.root).as_posix()
        files = self._read(place, folder)
        record = self._read_record(files, folder)
        if record is None:
            return
        version = naming.platform_folder(record.platform)
        platform = self._platform(version)
        problems = check_sources(
            files,
            folder=folder,
            platform=version,
            own=self.templates.files,
            platform_files=platform,
        )
        if problems:
            self.problems += problems
        elif not self._is_like_another(record, files):
            self._build(record, files, folder)

    def _read(self, place: Path, folder: str) -> dict[str, bytes]:
        """The folder's files; a link could lead anywhere, so it is a problem and not followed."""
        files = {}
        for entry in sorted(place.rglob("*")):
            name = entry.relative_to(place).as_posix()
            if entry.is_symlink():
                self._add(f"{folder}/{name}", "is a link", "put the file itself here")
            elif entry.is_file() and entry.stat().st_size > MOST_PER_FILE:
                self._add(f"{folder}/{name}", "is larger than 1 MiB")
            elif entry.is_file():
                files[name] = entry.read_bytes()
        return files

    def _read_record(self, files: Mapping[str, bytes], folder: str) -> Record | None:
        if RECORD not in files:
            self._add(f"{folder}/{RECORD}", "is missing")
            return None
        record, problems = read_record(files[RECORD], f"{folder}/{RECORD}")
        self.problems += problems
        if record and naming.folder(record.name) != folder:
            right = naming.folder(record.name)
            self._add(f"{folder}/{RECORD}", f"names {record.name}, which belongs to {right}")
            return None
        return record

    def _platform(self, version: str) -> Mapping[str, bytes]:
        """Files of a platform version, checked when first asked for."""
        if version not in self.platforms:
            files = self._read(self.root / version, version)
            self.platforms[version] = {f"{version}/{path}": data for path, data in files.items()}
            self.problems += check_platform(self.platforms[version], folder=version)
        return self.platforms[version]

    def _is_like_another(self, record: Record, files: Mapping[str, bytes]) -> bool:
        """Whether the tenant is, but for values that may differ, like one that was built."""
        expected = _expected(record)
        return any(
            not check_structure(files, shape, expected=expected)
            for shape in self.shapes.get(_class(record), [])
        )

    def _build(self, record: Record, files: Mapping[str, bytes], folder: str) -> None:
        self.builds += 1
        try:
            problems = build_and_check(
                self.kustomize, self.root, folder, _expected(record), self.product, self.schemas
            )
        except ProgramStopped as error:
            problems = [Problem(folder, error.message)]
        self.problems += problems
        shapes = self.shapes.setdefault(_class(record), [])
        shape = None if problems else find_shape(files, self.templates)
        if shape:
            shapes.append(shape)

    def _add(self, where: str, message: str, hint: str = "") -> None:
        self.problems.append(Problem(where, message, hint))


def _class(record: Record) -> _Class:
    return record.platform, record.plan, record.state.value


def _expected(record: Record) -> Expected:
    return Expected(record.name, record.customer_id, record.host, record.state)

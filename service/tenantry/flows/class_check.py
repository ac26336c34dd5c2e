"""R27: nothing is published unchecked.

The first tenant of a class is built with Kustomize and its objects are looked at; each further one
is compared with it, structurally; a sample, and every tenant with changes of its own (`local/`), is
built in full.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from tenantry.adapters.kustomize import Kustomize
from tenantry.adapters.schemas import Schemas
from tenantry.core import naming
from tenantry.core.errors import OverlayRefused, ProgramError, ProgramMissing, ProgramStopped
from tenantry.core.model import TenantSpec
from tenantry.core.objects.checks import Expected, check_objects
from tenantry.core.overlay import LOCAL, Templates
from tenantry.core.problem import Problem
from tenantry.core.product import Product
from tenantry.core.sources import check_platform, check_sources
from tenantry.core.structure import Shape, check_structure, class_key, find_shape

log = structlog.get_logger()


@dataclass
class ClassChecker:
    """Checks what the publisher is about to commit for one cell; keeps the shape of each class."""

    kustomize: Kustomize
    product: Product
    templates: Templates
    sample_every: int = 500  # tenants of a class from one full build to the next
    _shapes: dict[str, Shape] = field(default_factory=dict)
    _seen: Counter[str] = field(default_factory=Counter)

    def verify(
        self,
        spec: TenantSpec,
        files: Mapping[str, bytes],
        *,
        platform: Mapping[str, bytes],
        local: Mapping[str, bytes] | None = None,
        is_of_class: bool = True,
    ) -> None:
        """OverlayRefused with every problem, unless the rendered `files` may be published. With
        `is_of_class` False, since somebody edited them, they are not compared with their class.

        `platform` is the content of platform/<version>/, `local` that of the tenant's local/, by
        path relative to it. ProgramMissing: no Kustomize. ProgramStopped: it was ended.
        """
        if not is_of_class:
            _require_none(self.find_problems(spec, files, platform=platform, local=local))
            return
        key = class_key(
            spec,
            templates=self.templates,
            platform_tree=_digest(platform),
            has_local=bool(local),
        )
        shape = self._shapes.get(key)
        expected = Expected.of(spec, self.product)
        problems = [] if shape is None else check_structure(files, shape, expected=expected)
        due = shape is None or bool(local) or self._seen[key] % self.sample_every == 0
        if due and not problems:
            problems = self.find_problems(spec, files, platform=platform, local=local)
            log.info("overlay.built", overlay_class=key, problems=len(problems))
        _require_none(problems)
        self._seen[key] += 1
        if shape is None:
            self._remember(key, files)

    def _remember(self, key: str, files: Mapping[str, bytes]) -> None:
        shape = find_shape(files, self.templates)
        if shape is not None:
            self._shapes[key] = shape

    def find_problems(
        self,
        spec: TenantSpec,
        files: Mapping[str, bytes],
        *,
        platform: Mapping[str, bytes],
        local: Mapping[str, bytes] | None = None,
    ) -> list[Problem]:
        """As `verify`, but by a full build, whatever is known of the class. Sources first: only
        what is sure to read no other place is given to Kustomize.
        """
        beside = {f"{LOCAL}/{path}": content for path, content in (local or {}).items()}
        own = {**files, **beside}
        if problems := self._check_sources(spec, own, platform) + _check_paths(beside):
            return problems
        with _laid_out(spec, own, platform) as root:
            expected = Expected.of(spec, self.product)
            folder = naming.folder(spec.name)
            return build_and_check(self.kustomize, root, folder, expected, self.product)

    def build(
        self, spec: TenantSpec, files: Mapping[str, bytes], *, platform: Mapping[str, bytes]
    ) -> list[dict[str, Any]]:
        """The objects of a tenant that may be published. OverlayRefused with every problem where it
        may not, ProgramError where Kustomize cannot build it.
        """
        objects, problems = self.examine(spec, files, platform=platform)
        _require_none(problems)
        return objects

    def examine(
        self, spec: TenantSpec, files: Mapping[str, bytes], *, platform: Mapping[str, bytes]
    ) -> tuple[list[dict[str, Any]], list[Problem]]:
        """The objects of a tenant, `local/` included, and what is wrong with them. None where the
        sources may not be given to Kustomize; ProgramError where Kustomize cannot build them.
        """
        if problems := self._check_sources(spec, files, platform) + _check_paths(files):
            return [], problems
        with _laid_out(spec, files, platform) as root:
            objects = self.kustomize.build(root / naming.folder(spec.name), root=root)
        expected = Expected.of(spec, self.product)
        return objects, check_objects(objects, expected=expected, product=self.product)

    def _check_sources(
        self, spec: TenantSpec, own: Mapping[str, bytes], platform: Mapping[str, bytes]
    ) -> list[Problem]:
        version = naming.platform_folder(spec.platform)
        shared = _under(version, platform)
        return [
            *check_platform(shared, folder=version),
            *check_sources(
                own,
                folder=naming.folder(spec.name),
                platform=version,
                own=self.templates.files,
                platform_files=shared,
            ),
            *_check_paths(shared),
        ]


def _require_none(problems: Sequence[Problem]) -> None:
    if problems:
        raise OverlayRefused([str(problem) for problem in problems])


def build_and_check(
    kustomize: Kustomize,
    root: Path,
    folder: str,
    expected: Expected,
    product: Product,
    schemas: Schemas | None = None,
) -> list[Problem]:
    """Build the overlay in `root/folder`, and the problems of what comes out; that nothing does, of
    a size that can be read, is one. ProgramMissing: no Kustomize. ProgramStopped: it was ended.
    """
    try:
        objects = kustomize.build(root / folder, root=root)
    except (ProgramMissing, ProgramStopped):
        raise
    except ProgramError as error:
        return [Problem(folder, error.message)]
    problems = check_objects(objects, expected=expected, product=product)
    return [
        Problem(f"{folder}: {problem.where}", problem.message, problem.hint)
        for problem in [*problems, *_check_schemas(objects, schemas)]
    ]


def _check_schemas(objects: Sequence[Mapping[str, Any]], schemas: Schemas | None) -> list[Problem]:
    found = [(body, schemas.find_problem(body)) for body in objects] if schemas else []
    return [
        Problem(f"{body.get('kind')}/{body['metadata']['name']}", f"schema: {problem}")
        for body, problem in found
        if problem
    ]


def _check_paths(paths: Iterable[str]) -> list[Problem]:
    """Git's trees may hold names that lead out of a folder; no checkout has them."""
    illegal = {"", ".", ".."}
    return [
        Problem(path, "is no path that a checkout can have")
        for path in paths
        if illegal.intersection(path.split("/"))
    ]


def _digest(files: Mapping[str, bytes]) -> str:
    found = hashlib.sha256()
    for path, content in sorted(files.items()):
        found.update(f"{path}\0{len(content)}\0".encode(errors="surrogateescape"))
        found.update(content)
    return found.hexdigest()


@contextmanager
def _laid_out(
    spec: TenantSpec, own: Mapping[str, bytes], platform: Mapping[str, bytes]
) -> Iterator[Path]:
    """A checkout with the tenant's folder and its platform version."""
    with tempfile.TemporaryDirectory(prefix="tenantry-check-") as place:
        root = Path(place)
        _write(root, _under(naming.platform_folder(spec.platform), platform))
        _write(root, _under(naming.folder(spec.name), own))
        yield root


def _under(folder: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{path}": content for path, content in files.items()}


def _write(root: Path, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

"""What the repo-server does: builds an Application's folder at a commit with the real kustomize.

A build is kept until the folder or the platform changes, as Git's tree ids say. Exported for it
are the folder, `platform/`, and what `manifest-generate-paths` names; an overlay that reaches for
anything else does not build here, though it would with Argo CD.
"""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath
from typing import Any

from tenantry.adapters.kustomize import Kustomize
from tenantry.core.errors import ProgramError, RepositoryError
from tenantry.devcluster.gitview import GitView, Snapshot

PATHS = "argocd.argoproj.io/manifest-generate-paths"
PLATFORM = "platform"
_FAILED = (
    "Failed to load target state: failed to generate manifest for source 1 of 1: "
    "rpc error: code = Unknown desc = "
)
_BUILD_FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")

Objects = Sequence[Mapping[str, Any]]


class ComparisonError(Exception):
    """The folder has no manifests; the text is Argo CD's message."""


@dataclass(frozen=True)
class Target:
    """What Git asks for: the commit that was looked at, and the objects its folder builds to."""

    revision: str
    objects: Objects


class Manifests:
    """Builds and remembers; safe for several threads."""

    def __init__(self, view: GitView, kustomize: Kustomize, *, scratch: Path) -> None:
        self._view = view
        self._kustomize = kustomize
        self._scratch = scratch
        self._built: dict[str, tuple[tuple[str | None, ...], Objects | ComparisonError]] = {}
        self._lock = threading.Lock()
        self.builds = 0  # how often kustomize ran

    def load(self, source: Mapping[str, str], annotations: Mapping[str, str]) -> Target:
        """The target state at the head of the source's revision; ComparisonError."""
        path = source["path"]
        try:
            self._view.refresh()
            commit = self._view.resolve(source["targetRevision"])
            if commit is None:
                raise ComparisonError(f"{_FAILED}failed to resolve {source['targetRevision']}")
            return Target(commit, self._objects(path, self._view.snapshot(commit), annotations))
        except RepositoryError as error:
            raise ComparisonError(_FAILED + str(error)) from error

    def forget(self, path: str) -> None:
        """Build the folder anew next time, changed or not."""
        with self._lock:
            self._built.pop(path, None)

    def _objects(self, path: str, snapshot: Snapshot, annotations: Mapping[str, str]) -> Objects:
        if snapshot.tree(path) is None:
            raise ComparisonError(f"{_FAILED}{path}: app path does not exist")
        folders = _folders(path, annotations.get(PATHS, ""))
        key = tuple(snapshot.tree(folder) for folder in folders)
        with self._lock:
            known = self._built.get(path)
        if known is None or known[0] != key:
            known = (key, self._build(path, folders, snapshot))
            with self._lock:
                self._built[path] = known
        if isinstance(known[1], ComparisonError):
            raise known[1]
        return known[1]

    def _build(
        self, path: str, folders: list[str], snapshot: Snapshot
    ) -> Objects | ComparisonError:
        if not any(f"{path}/{name}" in snapshot.entries for name in _BUILD_FILES):
            return ComparisonError(f"{_FAILED}{path}: development stand-in: no kustomization.yaml")
        root = self._scratch / uuid.uuid4().hex
        try:
            for folder in folders:
                self._view.export(snapshot.files(folder), root)
            with self._lock:
                self.builds += 1
            return self._kustomize.build(root / path, root=root)
        except ProgramError as error:
            return ComparisonError(
                f"{_FAILED}`kustomize build <path to cached source>/{path}` failed exit status 1: "
                f"Error: {error.message.removeprefix('kustomize: ')}"
            )
        finally:
            shutil.rmtree(root, ignore_errors=True)


def _folders(path: str, named: str) -> list[str]:
    """Folders of the repository that a build may read, from the annotation's list."""
    found = [path, PLATFORM]
    for part in filter(None, (one.strip() for one in named.split(";"))):
        folder = part.lstrip("/") if part.startswith("/") else normpath(f"{path}/{part}")
        if folder not in found:
            found.append(folder)
    return found

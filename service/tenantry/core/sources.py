"""Checks the files of an overlay before anything reads them: no remote bases, nothing outside.

Kustomize takes a path that does not exist for a Git address and fetches it, so a path is allowed
only when it is there; and a folder in the repository may bring only what is listed here.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tenantry.core.document import load
from tenantry.core.errors import ProductError
from tenantry.core.overlay import KUSTOMIZATION, LOCAL
from tenantry.core.problem import Problem
from tenantry.core.record import RECORD

MOST_PER_FILE = 1024 * 1024  # bytes
MOST_FILES = 200  # of one tenant

# Kustomize looks for a Git address in a path before it looks for the folder of that name
_PATH = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*/?")
_LIKE_GIT = re.compile(r"(^|/)(github\.com|[^/]*\.git|_git)(/|$)", re.IGNORECASE)

_NAMES = (KUSTOMIZATION, "kustomization.yml", "Kustomization")
_KNOWN = {"apiVersion", "kind", "resources", "components", "patches"}
_OVERLAY = _KNOWN | {"namespace"}
_COMPONENT = _KNOWN | {
    "configMapGenerator", "generatorOptions", "images", "labels", "replacements", "replicas",
}  # fmt: skip


def check_sources(
    files: Mapping[str, bytes],
    *,
    folder: str,
    platform: str,
    own: Collection[str],
    platform_files: Collection[str],
) -> list[Problem]:
    """Problems of a tenant's own files (name relative to `folder` -> content, `local/` included).

    `own` names the files that the templates make; `platform_files` are the paths, from the root of
    the repository, of the platform version folder `platform` that the tenant names.
    """
    wanted = {*own, RECORD}
    problems = [Problem(f"{folder}/{name}", "is missing") for name in sorted(wanted - set(files))]
    problems += [
        Problem(f"{folder}/{name}", "does not belong here", f"use {LOCAL}/")
        for name in sorted(set(files) - wanted)
        if not name.startswith(f"{LOCAL}/")
    ]
    problems += _check_records(files, folder)
    problems += _check_sizes(files, folder)
    mine = {f"{folder}/{name}": content for name, content in files.items()}
    known = {*mine, *platform_files}
    for path, content in mine.items():
        if posixpath.basename(path) in _NAMES:
            is_overlay = path == f"{folder}/{KUSTOMIZATION}"
            roots = (folder, platform) if is_overlay else (f"{folder}/{LOCAL}",)
            fields = _OVERLAY if is_overlay else _COMPONENT
            problems += _check_kustomization(path, content, fields, roots, known)
    return problems


def check_platform(files: Mapping[str, bytes], *, folder: str) -> list[Problem]:
    """Problems of a platform version's files (path from the root of the repository -> content)."""
    return [
        problem
        for path, content in files.items()
        if posixpath.basename(path) in _NAMES
        for problem in _check_kustomization(path, content, _COMPONENT, (folder,), set(files))
    ]


def is_further_record(name: str) -> bool:
    """Whether Argo CD takes the file (name relative to the tenant's folder) for one more tenant's
    record: the `*` of an ApplicationSet's path stands for any number of folders.
    """
    return name.endswith(f"/{RECORD}")


def _check_records(files: Mapping[str, bytes], folder: str) -> Iterator[Problem]:
    for name in filter(is_further_record, files):
        message = "would be one more Application, and stop its whole ApplicationSet"
        yield Problem(f"{folder}/{name}", message, "give it another name")


def _check_sizes(files: Mapping[str, bytes], folder: str) -> Iterator[Problem]:
    if len(files) > MOST_FILES:
        yield Problem(folder, f"holds {len(files)} files; {MOST_FILES} at most")
    for name, content in files.items():
        if len(content) >= MOST_PER_FILE:
            yield Problem(f"{folder}/{name}", f"has {len(content)} bytes; 1 MiB at most")


def _check_kustomization(
    path: str, content: bytes, fields: set[str], roots: tuple[str, ...], known: Collection[str]
) -> Iterator[Problem]:
    try:
        tree = load(content, path)
    except ProductError as error:
        yield Problem(path, error.message.removeprefix(f"{path}:").strip())
        return
    if not isinstance(tree, Mapping):
        yield Problem(path, "is no kustomization")
        return
    for field in sorted(set(tree) - fields):
        yield Problem(path, f"the field {field!r} is not allowed", f"allowed: {sorted(fields)}")
    for used in _paths(tree):
        if reason := _refuse(used, posixpath.dirname(path), roots, known):
            yield Problem(path, f"{used!r} {reason}", "paths stay in this folder or its platform")


def _paths(tree: Mapping[str, Any]) -> Iterator[Any]:
    """Every path that Kustomize would open because of this kustomization."""
    for field in ("resources", "components"):
        yield from _list(tree.get(field))
    for field in ("patches", "replacements"):
        for entry in _list(tree.get(field)):
            if isinstance(entry, Mapping) and "path" in entry:
                yield entry["path"]
    for generator in _list(tree.get("configMapGenerator")):
        if isinstance(generator, Mapping):
            for field in ("files", "envs"):
                yield from (str(used).rpartition("=")[2] for used in _list(generator.get(field)))
            if "env" in generator:
                yield generator["env"]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _refuse(used: Any, here: str, roots: tuple[str, ...], known: Collection[str]) -> str | None:
    """Why a path may not be used; None: it may."""
    if not isinstance(used, str) or not _PATH.fullmatch(used) or _LIKE_GIT.search(used):
        return "is not a plain relative path"
    path = posixpath.normpath(posixpath.join(here, used))
    if not any(path == root or path.startswith(f"{root}/") for root in roots):
        return "leads out of its own folder"
    if path not in known and not any(name.startswith(f"{path}/") for name in known):
        return "is not there; Kustomize would take it for a remote base"
    return None

"""The platform folder: the product's manifests, checked at start and made complete.

The vendor's manifests name images by the short names of `product.yaml`, so that all versions stand
in one place; what is published says them itself, in the `images:` of its own kustomizations.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tenantry.core.document import find_line, load, load_all
from tenantry.core.errors import ProductError
from tenantry.core.images import as_kustomize
from tenantry.core.model import State
from tenantry.core.printer import dump
from tenantry.core.product import Product
from tenantry.core.sources import MOST_PER_FILE

KUSTOMIZATION = "kustomization.yaml"
_OTHER_NAMES = ("kustomization.yml", "Kustomization")  # that Kustomize takes as well
_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_PLAIN = re.compile(rf"{_NAME}(/{_NAME})*")

Files = Mapping[str, bytes]


def complete(files: Files, product: Product, *, folder: str) -> dict[str, bytes]:
    """The platform's files (path within it -> content) as they are published: with the product's
    images in each kustomization whose manifests use some. All else keeps its bytes.

    `folder` is what messages call the place. ProductError with file, line and hint where a plan or
    state has no component, an image is none of the product's, or one of these is used nowhere.
    """
    _check_files(files, folder)
    _check_components(files, product, folder)
    used = {
        path: _images_used(path, files, product, folder)
        for path in files
        if posixpath.basename(path) == KUSTOMIZATION
    }
    if unused := set(product.images) - {name for names in used.values() for name in names}:
        raise ProductError(
            f"images: no manifest of {folder} uses {', '.join(sorted(unused))}",
            file="product.yaml",
            hint="a manifest says `image: <short name>`; drop what is not used",
        )
    completed = {
        path: _with_images(files[path], names, product, f"{folder}/{path}")
        for path, names in used.items()
    }
    return {**files, **completed}


def _check_files(files: Files, folder: str) -> None:
    """All of them are published, so an editor's or a system's are refused, and what is too large
    for a ConfigMap.
    """
    for path, content in files.items():
        if not _PLAIN.fullmatch(path):
            hint = "a name has letters, digits, '.', '-' and '_', and a letter or digit first"
            raise ProductError("does not belong here", file=f"{folder}/{path!a}", hint=hint)
        if posixpath.basename(path) in _OTHER_NAMES:
            raise ProductError(
                "has another name", file=f"{folder}/{path}", hint=f"call it {KUSTOMIZATION}"
            )
        if len(content) >= MOST_PER_FILE:
            message = f"has {len(content)} bytes"
            hint = "1 MiB at most; put it into an image"
            raise ProductError(message, file=f"{folder}/{path}", hint=hint)


def _check_components(files: Files, product: Product, folder: str) -> None:
    wanted = [
        "base",
        *(f"plans/{plan}" for plan in product.plans),
        *(f"states/{state.value}" for state in State),
    ]
    for place in wanted:
        if f"{place}/{KUSTOMIZATION}" not in files:
            hint = "a platform has a base, and a component for each plan and each state"
            raise ProductError("is missing", file=f"{folder}/{place}/{KUSTOMIZATION}", hint=hint)


def _images_used(path: str, files: Files, product: Product, folder: str) -> set[str]:
    """Short names of the images that the manifests of one kustomization use."""
    used = set()
    for manifest in _manifests(path, files, folder):
        _check_namespace(manifest)
        for image in _images_in(manifest.tree):
            if image not in product.images:
                raise ProductError(
                    f"the image {str(image)!r} is none of the product's",
                    file=manifest.file,
                    line=manifest.starts + getattr(image, "line", 0),
                    hint=f"say one of {', '.join(product.images)}; product.yaml has their versions",
                )
            used.add(str(image))
    return used


@dataclass(frozen=True)
class _Manifest:
    """A document of the platform, and where it stands."""

    tree: Any
    file: str
    starts: int = 0  # lines of the file before the text that it is of


def _manifests(path: str, files: Files, folder: str) -> Iterator[_Manifest]:
    """Every document that a kustomization brings as resource or patch. Other folders are
    kustomizations of their own.
    """
    file = f"{folder}/{path}"
    tree = load(files[path], file)
    if not isinstance(tree, Mapping):
        raise ProductError("is no kustomization", file=file, hint="it holds `resources`")
    for field in ("resources", "patches", "components"):
        if not isinstance(tree.get(field) or [], list):
            line = find_line(files[path].decode(), (field,))
            raise ProductError(f"{field} is no list", file=file, line=line, hint=f"{field}: [ … ]")
    patches = [patch for patch in tree.get("patches") or [] if isinstance(patch, Mapping)]
    named = [*(tree.get("resources") or []), *(patch.get("path") for patch in patches)]
    for name in filter(None, named):
        place = posixpath.normpath(posixpath.join(posixpath.dirname(path), str(name)))
        for each in load_all(files.get(place, b""), f"{folder}/{place}"):
            yield _Manifest(each, f"{folder}/{place}")
    for text in (patch.get("patch", "") for patch in patches):
        for each in load_all(text, file):
            yield _Manifest(each, file, getattr(text, "line", 0))


def _check_namespace(manifest: _Manifest) -> None:
    """No patch of a plan or state would find the object, since those name none."""
    metadata = manifest.tree.get("metadata") if isinstance(manifest.tree, Mapping) else None
    found = metadata.get("namespace") if isinstance(metadata, Mapping) else None
    if found is not None:
        raise ProductError(
            f"names the namespace {str(found)!r}",
            file=manifest.file,
            line=manifest.starts + getattr(found, "line", 0),
            hint="leave it out: each tenant's objects get the tenant's",
        )


def _images_in(tree: Any) -> Iterator[str]:
    """Every `image:` of a manifest or a merge patch, and what a JSON patch puts in its place."""
    if isinstance(tree, Mapping) and tree.get("kind") != "ConfigMap":
        keys = ("image", "value") if str(tree.get("path", "")).endswith("/image") else ("image",)
        yield from (tree[key] for key in keys if isinstance(tree.get(key), str))
        for child in tree.values():
            yield from _images_in(child)
    elif isinstance(tree, list):
        for child in tree:
            yield from _images_in(child)


def _with_images(content: bytes, used: set[str], product: Product, file: str) -> bytes:
    """The kustomization with the images at its end: comments and order stay as they are."""
    tree = load(content, file)
    if "images" in tree:
        line = find_line(content.decode(), ("images",))
        raise ProductError(
            "has images of its own", file=file, line=line, hint="product.yaml says them all"
        )
    if not used:
        return content
    images = [as_kustomize(name, product.images[name]) for name in product.images if name in used]
    completed = content.rstrip() + b"\n" + dump({"images": images})
    if _reads_as(completed) != {**tree, "images": images}:
        raise ProductError("nothing can be added at its end", file=file, hint="write a key a line")
    return completed


def _reads_as(content: bytes) -> Any:
    try:
        return load(content, KUSTOMIZATION)
    except ProductError:
        return None

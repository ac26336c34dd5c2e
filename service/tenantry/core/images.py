"""Container images: a reference that names one version, and how Kustomize is told of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator

_PART = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<name>{_PART}(?::[0-9]+(?=/))?(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


def check_pinned(reference: str) -> str:
    """The image reference; ValueError where it does not name one version."""
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise ValueError("is no image reference, such as registry.example/team/app:1.2.3")
    if not found["digest"] and found["tag"] in (None, "latest"):
        raise ValueError("must name one version: a tag that is not latest, or a digest")
    return reference


ImageRef = Annotated[str, AfterValidator(check_pinned)]


def check_names(images: Mapping[str, str]) -> Mapping[str, str]:
    """The images by short name; ValueError where Kustomize would put one in another's place, since
    it replaces by name, one image after the other.
    """
    for short, reference in images.items():
        repository = as_kustomize(short, reference)["newName"]
        if repository in images and repository != short:
            raise ValueError(
                f"the image of {short!r} has the short name of another, {repository!r}; "
                "rename one of them"
            )
    return images


def as_kustomize(short: str, reference: str) -> dict[str, str]:
    """The entry of a kustomization's `images:` that puts the reference where the name stands."""
    found = _REFERENCE.fullmatch(reference)
    assert found is not None  # noqa: S101 - the product file was checked
    parts = {"name": short, "newName": found["name"], "newTag": found["tag"]}
    entry = {**parts, "digest": found["digest"]}
    return {key: str(value) for key, value in entry.items() if value is not None}

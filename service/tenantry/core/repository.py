"""What a tenants repository holds for Argo CD: one AppProject and one ApplicationSet.

Both files are complete but for the repository's own URL, which stands in them as an empty text. It
is put in by place, not by a template: an ApplicationSet is itself full of `{{ … }}`, which are Argo
CD's and must arrive there as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tenantry.core.document import load
from tenantry.core.errors import ProductError
from tenantry.core.printer import dump

# What the files of tenants/argocd/ say too.
BRANCH = "main"
PROJECT = "tenants"

APP_PROJECT = "appproject.yaml"
APPLICATION_SET = "applicationset.yaml"


def render_argocd(files: Mapping[str, str], *, repository_url: str) -> dict[str, bytes]:
    """The files of argocd/, each YAML document with the repository's URL, as Argo CD knows it, put
    in its places. ProductError where a file is not what it must be.
    """
    return {
        name: dump(_complete(load(text, name), name, repository_url))
        for name, text in files.items()
    }


def _complete(tree: Any, file: str, url: str) -> Any:
    try:
        if file == APP_PROJECT:
            tree["spec"]["sourceRepos"] = [url]
        if file == APPLICATION_SET:
            for source in _sources(tree["spec"]):
                source["repoURL"] = url
    except (KeyError, TypeError, AttributeError) as error:
        message = f"has no place for the repository's URL: {error}"
        raise ProductError(message, file=file) from error
    return tree


def _sources(spec: Any) -> Iterator[Any]:
    """Where an ApplicationSet names its repository: each Git generator, and the Application."""
    for generator in spec["generators"]:
        if "git" in generator:
            yield generator["git"]
    yield spec["template"]["spec"]["source"]

"""argocd/ of a tenants repository, which Argo CD and its operator start from.

Each file is complete and valid as it lies in `tenants/argocd/`, but for what belongs to one cell:
the repository's URL, an instance's link, and what tells one shard's ApplicationSet from another's.
That is put in by place, not by a template: an ApplicationSet is itself full of `{{ … }}`, which are
Argo CD's and must arrive there as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from tenantry.core import shards
from tenantry.core.document import load
from tenantry.core.errors import ProductError
from tenantry.core.printer import dump
from tenantry.core.record import RECORD

# What the files of tenants/argocd/ say too.
BRANCH = "main"
PROJECT = "tenants"

APP_PROJECT = "appproject.yaml"
APPLICATION_SET = "applicationset.yaml"  # of one shard
APPLICATION_SETS = "applicationsets.yaml"  # of all
LINK = "Instance"  # the entry of `info` that leads to the instance

_HOST = "{{ .host }}"  # in Argo CD's words: of the tenant's record
_HEAD = b"# Written by `tenantry init` for this repository; README.md says what it is for.\n"


@dataclass(frozen=True)
class ArgoCDFacts:
    """What a cell's files say of it."""

    repository_url: str  # as Argo CD knows it
    instance_url: str  # {host} is replaced
    shards: int


def render_argocd(files: Mapping[str, bytes], facts: ArgoCDFacts) -> dict[str, bytes]:
    """The files of argocd/, by path in it: one ApplicationSet for each shard, and the project, with
    the cell's facts in their places; every other file as it is. ProductError where a file is not
    what it must be.
    """
    rendered = dict(files)
    sets = _load(rendered.pop(APPLICATION_SET), APPLICATION_SET)
    project = _load(rendered[APP_PROJECT], APP_PROJECT)
    rendered[APPLICATION_SETS] = _HEAD + b"---\n".join(
        dump(_application_set(deepcopy(sets), shard, facts))
        for shard in shards.all_shards(facts.shards)
    )
    rendered[APP_PROJECT] = _HEAD + dump(_project(project, facts))
    return rendered


def _load(text: bytes, file: str) -> Any:
    return load(text, f"argocd/{file}")


def _application_set(tree: Any, shard: str, facts: ArgoCDFacts) -> Any:
    with _places(APPLICATION_SET):
        tree["metadata"]["name"] = f"{tree['metadata']['name']}-{shard}"
        generator = tree["spec"]["generators"][0]["git"]
        generator["repoURL"] = facts.repository_url
        generator["revision"] = f"refs/heads/{shards.branch(shard)}"
        folders = shards.folders(shard, facts.shards)
        generator["files"] = [{"path": f"{folder}/*/{RECORD}"} for folder in folders]
        application = tree["spec"]["template"]["spec"]
        application["source"]["repoURL"] = facts.repository_url
        link = next(entry for entry in application["info"] if entry["name"] == LINK)
        link["value"] = facts.instance_url.replace("{host}", _HOST)
    return tree


def _project(tree: Any, facts: ArgoCDFacts) -> Any:
    with _places(APP_PROJECT):
        tree["spec"]["sourceRepos"] = [facts.repository_url]
    return tree


@contextmanager
def _places(file: str) -> Iterator[None]:
    """What the tree lacks, said of its file."""
    try:
        yield
    except (KeyError, IndexError, TypeError, StopIteration) as error:
        message = f"lacks a place for what is the cell's: {error!r}"
        raise ProductError(message, file=f"argocd/{file}") from error

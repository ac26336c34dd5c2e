"""The AppProject: which repositories, destinations and kinds its Applications may use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import yaml

from tenantry.devcluster.kinds import CLUSTER_WIDE, Key

_UNDERSTOOD = {
    "clusterResourceBlacklist",
    "clusterResourceWhitelist",
    "description",
    "destinations",
    "namespaceResourceBlacklist",
    "namespaceResourceWhitelist",
    "orphanedResources",
    "sourceRepos",
}
Rules = Sequence[Mapping[str, str]]


class UnsupportedProject(ValueError):
    """An AppProject that the stand-in does not understand."""


@dataclass(frozen=True)
class Project:
    """What an AppProject permits. A whitelist of namespaced kinds that is None permits all."""

    name: str
    sources: Sequence[str] = ()
    destinations: Rules = ()
    cluster_allowed: Rules = ()
    cluster_denied: Rules = ()
    allowed: Rules | None = None
    denied: Rules = field(default=())

    def refusal(self, key: Key) -> str | None:
        """Argo CD's message for an object that the project does not permit."""
        if not self._permits_kind(key):
            return self.kind_refusal(key)
        if key.kind not in CLUSTER_WIDE and not self._permits_namespace(key.namespace):
            return f"namespace {key.namespace} is not permitted in project '{self.name}'"
        return None

    def kind_refusal(self, key: Key) -> str:
        """Argo CD's message for an object of a kind that is not permitted."""
        return f"resource {key.group}:{key.kind} is not permitted in project {self.name}"

    def spec_refusal(self, spec: Mapping[str, Any]) -> str | None:
        """Argo CD's message for an Application spec that the project does not permit."""
        repository = spec["source"]["repoURL"]
        if not any(fnmatchcase(repository, source) for source in self.sources):
            return f"application repo {repository} is not permitted in project '{self.name}'"
        target = spec["destination"]
        if not any(_matches_destination(rule, target) for rule in self.destinations):
            return (
                f"application destination server '{target.get('server')}' and namespace "
                f"'{target.get('namespace')}' do not match any of the allowed destinations in "
                f"project '{self.name}'"
            )
        return None

    def _permits_kind(self, key: Key) -> bool:
        if key.kind in CLUSTER_WIDE:
            return _in(self.cluster_allowed, key) and not _in(self.cluster_denied, key)
        return (self.allowed is None or _in(self.allowed, key)) and not _in(self.denied, key)

    def _permits_namespace(self, namespace: str) -> bool:
        return any(fnmatchcase(namespace, rule.get("namespace", "")) for rule in self.destinations)


def load_project(text: str) -> Project:
    """Read argocd/appproject.yaml; UnsupportedProject where it says more than is understood."""
    try:
        manifest = yaml.load(text, yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise UnsupportedProject(f"appproject.yaml: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("kind") != "AppProject":
        raise UnsupportedProject("appproject.yaml holds no AppProject")
    spec = manifest.get("spec") or {}
    if unknown := sorted(set(spec) - _UNDERSTOOD):
        raise UnsupportedProject(f"appproject.yaml: spec.{unknown[0]} is not understood here")
    return Project(
        name=str(manifest["metadata"]["name"]),
        sources=spec.get("sourceRepos") or (),
        destinations=spec.get("destinations") or (),
        cluster_allowed=spec.get("clusterResourceWhitelist") or (),
        cluster_denied=spec.get("clusterResourceBlacklist") or (),
        allowed=spec.get("namespaceResourceWhitelist"),
        denied=spec.get("namespaceResourceBlacklist") or (),
    )


def _in(rules: Rules, key: Key) -> bool:
    return any(
        fnmatchcase(key.group, rule.get("group", ""))
        and fnmatchcase(key.kind, rule.get("kind", ""))
        and fnmatchcase(key.name, rule.get("name") or "*")
        for rule in rules
    )


def _matches_destination(rule: Mapping[str, str], target: Mapping[str, str]) -> bool:
    if "server" in rule and not fnmatchcase(target.get("server", ""), rule["server"]):
        return False
    if "name" in rule and not fnmatchcase(target.get("name", ""), rule["name"]):
        return False
    return fnmatchcase(target.get("namespace", ""), rule.get("namespace", ""))

"""ApplicationSets: from files of the repository to the Applications that there should be.

Read from `argocd/applicationsets.yaml` of the repository itself. Only what is understood is
accepted: Go templates, one Git files generator, `applicationsSync: create-update`. What asks for
more is refused by name, never approximated.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from tenantry.devcluster import gotemplate
from tenantry.devcluster.clock import stamp_now
from tenantry.devcluster.gitview import GitView

LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_SPEC = {"goTemplate", "goTemplateOptions", "generators", "syncPolicy", "template"}
_SYNC_POLICY = {"applicationsSync", "preserveResourcesOnDeletion"}
_GIT = {"repoURL", "revision", "files", "requeueAfterSeconds"}
_SUCCESS = "All applications have been generated successfully"
_PARAMETERS = "Successfully generated parameters for all Applications"

Generated = dict[str, dict[str, Any]]  # Application name -> rendered template


class UnsupportedSet(ValueError):
    """An ApplicationSet that the stand-in does not understand."""


class GenerationError(Exception):
    """One file or template is bad; nothing of the set is generated."""

    def __init__(self, message: str, reason: str = "ApplicationParamsGenerationError") -> None:
        super().__init__(message)
        self.reason = reason


@dataclass
class ApplicationSet:
    """One set and how its last reconciliation went."""

    manifest: dict[str, Any]
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: str = field(default_factory=stamp_now)
    conditions: list[dict[str, str]] = field(default_factory=list)
    failed: bool = False
    _generated: tuple[str, Generated] | None = field(default=None, repr=False)  # at a commit
    _parsed: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.manifest["spec"]
        return spec

    @property
    def git(self) -> dict[str, Any]:
        git: dict[str, Any] = self.spec["generators"][0]["git"]
        return git

    @property
    def repository(self) -> str:
        return str(self.git["repoURL"])

    @property
    def revision(self) -> str:
        return str(self.git["revision"])

    def generate(self, commit: str, view: GitView) -> Generated:
        """The Applications that the files of one commit ask for; GenerationError."""
        if self._generated is None or self._generated[0] != commit:
            self._generated = commit, self._generate(commit, view)
        return self._generated[1]

    def _generate(self, commit: str, view: GitView) -> Generated:
        patterns = [str(rule["path"]) for rule in self.git["files"]]
        folders = [_folder(pattern) for pattern in patterns]
        snapshot = view.below(commit, folders if all(folders) else ())
        found = {
            path: snapshot.entries[path].sha
            for pattern in patterns
            for path in snapshot.match(pattern)
        }
        contents = view.read(sha for sha in found.values() if sha not in self._parsed)
        generated: Generated = {}
        for path, sha in found.items():
            if sha not in self._parsed:
                self._parsed[sha] = _parse(path, contents[sha])
            rendered = self._render({**self._parsed[sha], "path": _path_parameters(path)})
            name = rendered["metadata"]["name"]
            if name in generated:
                raise GenerationError(
                    f"ApplicationSet {self.name} contains applications with duplicate name: {name}",
                    "ApplicationValidationError",
                )
            generated[name] = rendered
        self._parsed = {sha: self._parsed[sha] for sha in found.values()}
        return generated

    def _render(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        try:
            rendered: dict[str, Any] = gotemplate.render(self.spec["template"], parameters)
        except gotemplate.MissingKey as error:
            raise GenerationError(
                f"failed to execute go template: {error}", "RenderTemplateParamsError"
            ) from error
        return rendered

    def report(self, error: GenerationError | None) -> None:
        """Write the conditions of a reconciliation that went well, or did not."""
        self.failed = error is not None
        if error is None:
            self._set("ErrorOccurred", "False", "ApplicationSetUpToDate", _SUCCESS)
            self._set("ParametersGenerated", "True", "ParametersGenerated", _PARAMETERS)
            self._set("ResourcesUpToDate", "True", "ApplicationSetUpToDate", _SUCCESS)
            return
        self._set("ErrorOccurred", "True", error.reason, str(error))
        self._set("ParametersGenerated", "False", "ErrorOccurred", str(error))
        self._set("ResourcesUpToDate", "False", error.reason, str(error))

    def _set(self, kind: str, status: str, reason: str, message: str) -> None:
        known = next((one for one in self.conditions if one["type"] == kind), None)
        wanted = {"type": kind, "message": message, "status": status, "reason": reason}
        if known is not None and wanted.items() <= known.items():
            return
        self.conditions = [one for one in self.conditions if one["type"] != kind]
        self.conditions.append({**wanted, "lastTransitionTime": stamp_now()})
        self.conditions.sort(key=lambda one: one["type"])

    @property
    def error(self) -> str | None:
        """What stops the set; None while it works."""
        return next((one["message"] for one in self.conditions), None) if self.failed else None


def load_sets(text: str) -> list[dict[str, Any]]:
    """The manifests in argocd/applicationsets.yaml; UnsupportedSet names what is not understood."""
    try:
        manifests = [one for one in yaml.load_all(text, yaml.CSafeLoader) if one is not None]
    except yaml.YAMLError as error:
        raise UnsupportedSet(f"applicationsets.yaml: {error}") from error
    for manifest in manifests:
        if not isinstance(manifest, dict) or manifest.get("kind") != "ApplicationSet":
            raise UnsupportedSet("applicationsets.yaml holds something other than ApplicationSets")
        _check(manifest)
    return manifests


def check_labels(rendered: Mapping[str, Any]) -> None:
    """What the API server says of labels that are none; GenerationError."""
    metadata = rendered["metadata"]
    for name, value in (metadata.get("labels") or {}).items():
        if not isinstance(value, str) or len(value) > 63 or not LABEL_VALUE.fullmatch(value):
            raise GenerationError(
                f'Application.argoproj.io "{metadata["name"]}" is invalid: metadata.labels: '
                f"Invalid value: {value!r} (label {name})",
                "CreateApplicationError",
            )


def _check(manifest: Mapping[str, Any]) -> None:
    spec = manifest.get("spec") or {}
    _refuse_unknown("spec", spec, _SPEC)
    policy = spec.get("syncPolicy") or {}
    _refuse_unknown("spec.syncPolicy", policy, _SYNC_POLICY)
    if spec.get("goTemplate") is not True:
        raise UnsupportedSet("applicationsets.yaml: only goTemplate: true is understood here")
    if policy.get("applicationsSync") != "create-update":
        raise UnsupportedSet("applicationsets.yaml: only applicationsSync: create-update is safe")
    generators = spec.get("generators") or []
    if len(generators) != 1 or set(generators[0]) != {"git"}:
        raise UnsupportedSet("applicationsets.yaml: exactly one Git generator is understood here")
    git = generators[0]["git"]
    _refuse_unknown("spec.generators[0].git", git, _GIT)
    if not git.get("files") or any(set(rule) != {"path"} for rule in git["files"]):
        raise UnsupportedSet("applicationsets.yaml: the generator must name files by path")
    if not str(git.get("revision")).startswith("refs/heads/"):
        raise UnsupportedSet(
            "applicationsets.yaml: only branches (refs/heads/…) are understood here"
        )
    if any("**" in rule["path"] for rule in git["files"]):
        raise UnsupportedSet("applicationsets.yaml: ** in a path is not understood here")
    try:
        gotemplate.check(spec["template"])
    except gotemplate.UnsupportedTemplate as error:
        raise UnsupportedSet(f"applicationsets.yaml: {error}") from error


def _refuse_unknown(where: str, given: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(given) - known):
        raise UnsupportedSet(f"applicationsets.yaml: {where}.{unknown[0]} is not understood here")


def _folder(pattern: str) -> str:
    """The folder that all paths of a glob are in, with its slash; empty: the whole repository."""
    folder, slash, _ = re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition("/")
    return folder + slash


def _parse(path: str, content: bytes) -> dict[str, Any]:
    try:
        parsed = yaml.load(content, yaml.CSafeLoader)
        _refuse_surrogates(parsed)
    except (yaml.YAMLError, ValueError) as error:
        raise GenerationError(_unparsable(path, str(error))) from error
    if not isinstance(parsed, dict):
        raise GenerationError(_unparsable(path, "no object"))
    return parsed


def _unparsable(path: str, why: str) -> str:
    return (
        f"error generating params from git: unable to process file '{path}': "
        f"unable to parse file: {' '.join(why.split())}"
    )


def _refuse_surrogates(tree: Any) -> None:
    # Go's YAML reads JSON's \ud83d\ude00 as two characters, and refuses either; PyYAML does not.
    if isinstance(tree, str) and any("\ud800" <= char <= "\udfff" for char in tree):
        raise ValueError("yaml: invalid Unicode character escape code")
    for item in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        _refuse_surrogates(item)


def _path_parameters(path: str) -> dict[str, Any]:
    folder, _, filename = path.rpartition("/")
    segments = folder.split("/")
    return {
        "path": folder,
        "basename": segments[-1],
        "basenameNormalized": _normalized(segments[-1]),
        "filename": filename,
        "filenameNormalized": _normalized(filename),
        "segments": segments,
    }


def _normalized(name: str) -> str:
    return re.sub(r"[^a-z0-9.-]", "-", name.lower()).strip("-.")

"""Scripts that somebody could have instead: what publishing is measured against.

Both work in a work tree of a copy of the same repository, make the same five files and seal as many
values with the same kubeseal. Neither keeps a record, checks anything, or survives a kill.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import git

from bench.stage import CERTIFICATE, Stage
from tenantry.core import naming

SEALED = "sealed-secret.yaml"
VALUE_LENGTH, LICENSE_LENGTH = 32, 700  # characters
_AUTHOR = git.Actor("script", "script@localhost")
# the developer's own configuration is no part of the figures
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": str(_AUTHOR.name),
    "GIT_AUTHOR_EMAIL": str(_AUTHOR.email),
    "GIT_COMMITTER_NAME": str(_AUTHOR.name),
    "GIT_COMMITTER_EMAIL": str(_AUTHOR.email),
}


@dataclass(frozen=True)
class Script:
    """A work tree, and the files of one tenant in it to make others from."""

    tree: Path
    template: Mapping[str, str]
    name: str  # of the tenant whose files they are
    keys: Sequence[str]  # of its Secret

    def competent(self, count: int) -> None:
        """Git's command line; one kubeseal, add, commit and push for all."""
        names = [_new_name() for _ in range(count)]
        sealed = _seal("".join(self._secret(name) for name in names)).split("---\n")
        documents = [document for document in sealed if document.strip()]
        for name, document in zip(names, documents, strict=True):
            self._write(name, document)
        # the least folder that holds them all: that of the one tenant, where it is one
        _git(self.tree, "add", os.path.commonpath([naming.folder(name) for name in names]))
        _git(self.tree, "commit", "-q", "-m", f"Provision {count} tenants")
        _git(self.tree, "push", "-q", "origin", "HEAD:main")

    def plain(self, count: int) -> None:
        """GitPython; for each tenant kubeseal, add, commit and push."""
        repository = git.Repo(self.tree)
        repository.git.update_environment(**_ENVIRONMENT)
        try:
            for _ in range(count):
                name = _new_name()
                self._write(name, _seal(self._secret(name)))
                folder = self.tree / naming.folder(name)
                repository.index.add([str(path) for path in sorted(folder.iterdir())])
                message = f"Provision {name}"
                repository.index.commit(message, author=_AUTHOR, committer=_AUTHOR)
                repository.remote().push("HEAD:main").raise_if_error()
        finally:
            repository.close()

    def _secret(self, name: str) -> str:
        manifest = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "app-secrets", "namespace": name},
            "stringData": {key: _value(key) for key in self.keys},
        }
        return f"---\n{json.dumps(manifest)}\n"

    def _write(self, name: str, sealed: str) -> None:
        folder = self.tree / naming.folder(name)
        folder.mkdir(parents=True)
        for file, text in self.template.items():
            made = text.replace(naming.key_of(self.name), naming.key_of(name))
            (folder / file).write_text(sealed if file == SEALED else made)


def make_script(stage: Stage) -> Script:
    """In a copy of the stage's remote, so that the original stays the service's alone."""
    folder = stage.folder / "script"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(stage.remote, folder / "remote.git")
    _git(folder, "clone", "-q", "--branch", "main", str(folder / "remote.git"), "tree")
    name = naming.tenant_name(naming.key_of(stage.tenants[0]))
    place = folder / "tree" / naming.folder(name)
    template = {path.name: path.read_text() for path in place.iterdir()}
    keys = sorted(stage.service.product.secret.keys)
    return Script(folder / "tree", template, name, keys)


def _new_name() -> str:
    return naming.tenant_name(naming.new_key(secrets.choice))


def _value(key: str) -> str:
    length = LICENSE_LENGTH if "LICENSE_KEY" in key else VALUE_LENGTH
    return secrets.token_urlsafe(length)[:length]


def _seal(manifests: str) -> str:
    command = ["kubeseal", "--cert", str(CERTIFICATE), "--format", "yaml"]
    return subprocess.run(
        command, input=manifests, check=True, capture_output=True, text=True
    ).stdout


def _git(tree: Path, *arguments: str) -> None:
    environment = {**os.environ, **_ENVIRONMENT}
    subprocess.run(["git", *arguments], cwd=tree, env=environment, check=True, capture_output=True)

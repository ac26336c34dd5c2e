"""Scripts that somebody could have instead: what bulk publishing is measured against.

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

from bench.stage import CERTIFICATE
from tenantry.core import naming

SEALED = "sealed-secret.yaml"
LICENSE_LENGTH = 700  # characters; other values have 32
_SETTINGS = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    **{f"GIT_{who}_{what}": "script@localhost" for who in ("AUTHOR", "COMMITTER") for what in
       ("NAME", "EMAIL")},
}  # fmt: skip


@dataclass(frozen=True)
class Script:
    """A work tree, and the files of one tenant in it to make others from."""

    tree: Path
    template: Mapping[str, str]
    name: str  # of the tenant whose files they are
    keys: Sequence[str]  # of its Secret

    def competent(self, count: int) -> None:
        """Git's command line; one commit and one kubeseal for all."""
        names = [_new_name() for _ in range(count)]
        sealed = _seal("".join(self._secret(name) for name in names)).split("---\n")
        documents = [document for document in sealed if document.strip()]
        for name, document in zip(names, documents, strict=True):
            self._write(name, document)
        _git(self.tree, "add", "tenants")
        _git(self.tree, "commit", "-q", "-m", f"Provision {count} tenants")
        _git(self.tree, "push", "-q", "origin", "HEAD:main")

    def plain(self, count: int) -> None:
        """GitPython; for each tenant kubeseal, add, commit and push."""
        repository = git.Repo(self.tree)
        try:
            for _ in range(count):
                name = _new_name()
                self._write(name, _seal(self._secret(name)))
                folder = self.tree / naming.folder(name)
                repository.index.add([str(path) for path in sorted(folder.iterdir())])
                repository.index.commit(f"Provision {name}")
                repository.remote().push("HEAD:main").raise_if_error()
        finally:
            repository.close()

    def _secret(self, name: str) -> str:
        values = {
            key: secrets.token_urlsafe(LICENSE_LENGTH if "LICENSE_KEY" in key else 32)[
                : LICENSE_LENGTH if "LICENSE_KEY" in key else 32
            ]
            for key in self.keys
        }
        manifest = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "app-secrets", "namespace": name},
            "stringData": values,
        }
        return f"---\n{json.dumps(manifest)}\n"

    def _write(self, name: str, sealed: str) -> None:
        folder = self.tree / naming.folder(name)
        folder.mkdir(parents=True)
        for file, text in self.template.items():
            made = text.replace(naming.key_of(self.name), naming.key_of(name))
            (folder / file).write_text(sealed if file == SEALED else made)


def make_script(remote: Path, folder: Path, customer_id: str, keys: Sequence[str]) -> Script:
    """In a copy of the remote, so that the original stays the service's alone."""
    os.environ.update(_SETTINGS)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(remote, folder / "remote.git")
    _git(folder, "clone", "-q", "--branch", "main", str(folder / "remote.git"), "tree")
    name = naming.tenant_name(naming.key_of(customer_id))
    place = folder / "tree" / naming.folder(name)
    template = {path.name: path.read_text() for path in place.iterdir()}
    return Script(folder / "tree", template, name, keys)


def _new_name() -> str:
    return naming.tenant_name(naming.new_key(secrets.choice))


def _seal(manifests: str) -> str:
    command = ["kubeseal", "--cert", str(CERTIFICATE), "--format", "yaml"]
    return subprocess.run(
        command, input=manifests, check=True, capture_output=True, text=True
    ).stdout


def _git(tree: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=tree, check=True, capture_output=True)

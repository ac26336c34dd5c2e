"""Who a cell's repository is with: how git is let in there, and where pull requests are opened."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from tenantry.adapters.argocd.webhook import web_url
from tenantry.adapters.forge import Forge, make_forge
from tenantry.adapters.git import KNOWN_HOSTS_REMEDY, TRANSPORTS, Access, transport
from tenantry.core.errors import SettingsError
from tenantry.settings import CellSettings, read_secret

FORGE_WITHIN = 20.0  # seconds for one request

_GIT_FILES: dict[str, tuple[str, ...]] = {
    "file": (),
    "https": ("git_token_file", "git_ca_file"),
    "ssh": ("git_ssh_key_file", "git_known_hosts_file"),
}
_GIT_HINT = {
    "git_ssh_key_file": "ssh-keygen -t ed25519, and give the host the public key as a deploy key",
    "git_known_hosts_file": KNOWN_HOSTS_REMEDY,
}


def git_access(name: str, cell: CellSettings, *, production: bool) -> Access:
    """How the cell's repository is let in; SettingsError for what git could not use."""
    variable = f"TENANTRY_CELLS__{name.upper()}__"
    kind = transport(cell.repository_url)
    if kind not in TRANSPORTS:
        raise SettingsError(
            f"{variable}REPOSITORY_URL: {kind} is not supported",
            remedy="give an https or ssh URL, or a path",
        )
    for setting in _GIT_FILES[kind]:
        path = getattr(cell, setting)
        if path is not None:
            _check_git_file(variable + setting.upper(), path)
        elif kind == "ssh" and production:
            raise SettingsError(
                f"{variable}{setting.upper()} is not set", remedy=_GIT_HINT[setting]
            )
    return Access(
        cell.git_username,
        cell.git_token_file,
        cell.git_ca_file,
        cell.git_ssh_key_file,
        cell.git_known_hosts_file,
    )


def _check_git_file(variable: str, path: Path) -> None:
    try:
        read_secret(path)
    except SettingsError as error:
        raise SettingsError(f"{variable}: {error.message}", remedy=error.remedy) from None
    facts = path.stat()
    if variable.endswith("SSH_KEY_FILE") and facts.st_uid == os.geteuid() and facts.st_mode & 0o077:
        raise SettingsError(
            f"{variable}: others may read {path}, so ssh refuses it", remedy=f"chmod 600 {path}"
        )


def forge(name: str, cell: CellSettings) -> Forge | None:
    """Where the cell's pull requests are opened; None where no forge is set. SettingsError names
    what is missing. The token is read anew for each request.
    """
    if cell.forge == "none":
        return None
    variable = f"TENANTRY_CELLS__{name.upper()}__"
    url, project = _place(cell)
    if not url or "/" not in project:
        raise SettingsError(
            f"{variable}REPOSITORY_URL does not tell host and project at the forge",
            remedy=f"set {variable}FORGE_URL and {variable}FORGE_PROJECT",
        )
    token_file = cell.forge_token_file or cell.git_token_file
    if token_file is None:
        raise SettingsError(
            f"{variable}FORGE_TOKEN_FILE is not set",
            remedy="name a file with a token that may push and open pull requests",
        )
    return make_forge(
        cell.forge,
        url=url,
        project=project,
        token=partial(read_secret, token_file),
        ca_file=cell.forge_ca_file or cell.git_ca_file,
        deadline=FORGE_WITHIN,
        labels=cell.forge_labels,
        reviewers=cell.forge_reviewers,
        auto_merge=cell.forge_auto_merge,
    )


def _place(cell: CellSettings) -> tuple[str, str]:
    """URL and project at the forge, each as set or as in the repository's URL; empty: unknown."""
    try:
        page = urlsplit(web_url(cell.repository_url))
    except SettingsError:  # a path
        return str(cell.forge_url or ""), cell.forge_project or ""
    host = page.hostname if transport(cell.repository_url) == "ssh" else page.netloc  # its own port
    return str(cell.forge_url or f"https://{host}"), cell.forge_project or page.path.strip("/")

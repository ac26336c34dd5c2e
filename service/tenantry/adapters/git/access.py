"""How a remote is let in: files with credentials, and the environment in which git uses them.

A credential never stands in a URL, an argument, an environment or a log. Children are given the
paths of files; git's askpass program reads the token at the moment git asks, ssh reads its key.
Nothing is sent to a host that the operator did not name: redirects are not followed, and the keys
of SSH hosts are pinned.

Do not: pass HOME or an agent's socket, accept a host key that is not known, fall back to a prompt.
"""

from __future__ import annotations

import base64
import math
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tenantry.adapters.git import program

ASKPASS = Path(__file__).with_name("askpass.sh")
DEFAULT_USERNAME = "x-access-token"  # GitHub's; GitLab and Gitea take any name beside a token
CONNECT_WITHIN = 15  # seconds
SLOWEST = 1000  # bytes a second
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(?:://|::)")


@dataclass(frozen=True)
class Access:
    """Files that open a remote; those that its transport has no use for are ignored. The token is
    sent with `username` over https only. Without `ca_file`, `ssh_key_file` or `known_hosts_file`,
    curl and ssh look where they do by themselves.
    """

    username: str = DEFAULT_USERNAME
    token_file: Path | None = None
    ca_file: Path | None = None
    ssh_key_file: Path | None = None
    known_hosts_file: Path | None = None

    def environment(self, url: str, *, silence: float) -> dict[str, str]:
        """The environment of a git that talks to `url`, and gives up by itself after so many
        seconds in which next to nothing comes: nobody may be left to kill it.
        """
        configuration, variables = {"http.followRedirects": "false"}, {}
        match transport(url):
            case "https":
                variables = self._askpass()
                configuration["http.lowSpeedLimit"] = str(SLOWEST)
                configuration["http.lowSpeedTime"] = str(math.ceil(silence))
                if self.ca_file:
                    configuration["http.sslCAInfo"] = str(self.ca_file.absolute())
            case "ssh":
                variables = {
                    "GIT_SSH_COMMAND": shlex.join(self._ssh(silence)),
                    "GIT_SSH_VARIANT": "ssh",
                }
        return program.environment(configuration, variables)

    def secrets(self) -> list[str]:
        """What must not stand in a message, though a server may send it back."""
        token = self._token()
        if not token:
            return []
        basic = base64.b64encode(f"{self.username}:{token}".encode()).decode()
        return [token, basic]

    def _token(self) -> str:
        """As the askpass program reads it; empty where there is none."""
        try:
            text = self.token_file.read_text("utf-8") if self.token_file else ""
        except (OSError, UnicodeDecodeError):
            return ""
        lines = (line.strip(" \t") for line in text.replace("\r", "").split("\n"))
        return next(filter(None, lines), "")

    def _askpass(self) -> dict[str, str]:
        if self.token_file is None:
            return {}
        return {
            "GIT_ASKPASS": str(ASKPASS),
            "TENANTRY_ASKPASS_USERNAME": self.username,
            "TENANTRY_ASKPASS_TOKEN_FILE": str(self.token_file.absolute()),
        }

    def _ssh(self, silence: float) -> list[str]:
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": str(math.ceil(min(silence, CONNECT_WITHIN))),
            "ServerAliveInterval": "5",
            "ServerAliveCountMax": "3",
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "GlobalKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
        }
        if self.known_hosts_file:
            options["UserKnownHostsFile"] = _ssh_path(self.known_hosts_file)
        if self.ssh_key_file:
            options["IdentityFile"] = _ssh_path(self.ssh_key_file)
        words = (word for name, value in options.items() for word in ("-o", f"{name}={value}"))
        return ["ssh", "-F", "/dev/null", *words]


def transport(url: str) -> str:
    """`file`, `https`, `ssh`, or the name of another that git would use for the URL. As git reads
    them, `user@host:path` is ssh, and any other path is a file.
    """
    if named := _SCHEME.match(url):
        return named[1].lower()
    before, colon, _ = url.partition(":")
    return "ssh" if colon and "/" not in before else "file"


def _ssh_path(path: Path) -> str:
    """As ssh's options take a path that may hold blanks or percent signs."""
    return '"{}"'.format(str(path.absolute()).replace("%", "%%"))

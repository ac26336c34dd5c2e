"""Makes the forge of a kind; the libraries of those that have one are optional."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

from tenantry.adapters.forge import gitea
from tenantry.adapters.forge.base import Forge
from tenantry.adapters.forge.hosted import Wishes
from tenantry.adapters.forge.line import Line
from tenantry.core.errors import SettingsError

_LIBRARIES = {"github": "GitHub", "gitlab": "GitLab"}  # extras, and classes of our modules


def make_forge(
    kind: str,
    *,
    url: str,
    project: str,
    token: Callable[[], str],
    ca_file: Path | None,
    deadline: float,
    labels: Sequence[str] = (),
    reviewers: Sequence[str] = (),
    auto_merge: bool = False,
) -> Forge:
    """A forge; nothing is asked of it. `url`: as in a browser; `token`: read at each request;
    `deadline`: seconds for each. SettingsError where the library of its kind is not installed.
    """
    line = Line(
        _api(kind, url.rstrip("/")),
        token,
        scheme="token" if kind == "gitea" else "Bearer",
        ca_file=ca_file,
        deadline=deadline,
    )
    wishes = Wishes(labels, reviewers, auto_merge)
    forge: Forge = _class(kind)(line, project, wishes)
    return forge


def _api(kind: str, url: str) -> str:
    if kind == "gitea":
        return url + gitea.API
    if kind == "github":
        return (
            "https://api.github.com" if urlsplit(url).hostname == "github.com" else f"{url}/api/v3"
        )
    return url  # python-gitlab adds the rest


def _class(kind: str) -> Callable[[Line, str, Wishes], Forge]:
    if kind == "gitea":
        return gitea.Gitea
    try:
        module = import_module(f"tenantry.adapters.forge.{kind}")
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{_LIBRARIES[kind]} is set as forge, and its library is not installed",
            remedy=f"pip install 'tenantry[{kind}]'",
        ) from error
    found: Callable[[Line, str, Wishes], Forge] = getattr(module, _LIBRARIES[kind])
    return found

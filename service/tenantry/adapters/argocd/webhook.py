"""Tell Argo CD that the tenants repository was pushed to, so that it does not wait for its poll.

The message has the shape of GitHub's push event, which Argo CD understands for any Git host. A 200
means that the signature was right and nothing else: Argo CD says it also of a repository that it
does not know. So this is a hint, and polling stays the truth.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import requests

from tenantry.adapters.argocd.answers import explain_failure
from tenantry.adapters.http import MEBIBYTE, RequestFailed, Timeouts, send
from tenantry.core.errors import ArgoError, SettingsError
from tenantry.core.reasons import clean

TIMEOUTS = Timeouts(connect=3, read=5, total=10)
PATHS = 1000  # more changed paths than this are not named one by one

_SCP_LIKE = re.compile(r"(?:[^@/]+@)?(?P<host>[^:/]+):(?P<path>[^/].*)")


def announce_push(
    session: requests.Session,
    webhook_url: str,
    secret: str,
    *,
    repository_url: str,
    branch: str,
    before: str,
    after: str,
    paths: Sequence[str],
) -> None:
    """POST a signed push of `branch` from commit `before` to `after`.

    `repository_url` as Argo CD has it; `secret` is Argo CD's `webhook.github.secret`. Raises
    ArgoUnreachable, ArgoError where it is refused, SettingsError for a URL that no push can name.
    """
    event = build_push(repository_url, branch, before, after, paths)
    body = json.dumps(event, separators=(",", ":")).encode("ascii")
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-Hub-Signature-256": sign_body(secret, body),
    }
    try:
        answer = send(
            session,
            "POST",
            webhook_url,
            timeouts=TIMEOUTS,
            limit=MEBIBYTE,
            headers=headers,
            body=body,
        )
    except RequestFailed as error:
        raise explain_failure(error) from error
    if answer.status != 200:
        raise ArgoError(f"Argo CD's webhook answered {answer.status}: {clean(answer.text)}")


def build_push(
    repository_url: str, branch: str, before: str, after: str, paths: Sequence[str]
) -> dict[str, Any]:
    """The members of GitHub's push event that Argo CD reads."""
    changed = {"added": [], "removed": [], "modified": list(paths[:PATHS])}
    return {
        "ref": f"refs/heads/{branch}",
        "before": before,
        "after": after,
        "repository": {"html_url": web_url(repository_url), "default_branch": "main"},
        "commits": [{"id": after, **changed}],
    }


def sign_body(secret: str, body: bytes) -> str:
    """The value of `X-Hub-Signature-256`."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def web_url(repository_url: str) -> str:
    """The page of a repository; Argo CD matches host and path, whatever way it clones.

    SettingsError for a URL without host or path, such as `file://`: it would match nothing.
    """
    found = _SCP_LIKE.fullmatch(repository_url) if "://" not in repository_url else None
    if found:
        host, path = found["host"], found["path"]
    else:
        parts = urlsplit(repository_url)
        host, path = parts.netloc.rpartition("@")[2], parts.path
    path = path.strip("/").removesuffix(".git")
    if not host or not path:
        raise SettingsError("Argo CD matches pushes by a repository's host and path only.")
    scheme = "http" if repository_url.startswith("http://") else "https"
    return f"{scheme}://{host}/{path}"

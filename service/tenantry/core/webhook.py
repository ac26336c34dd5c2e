"""Whether a webhook, a forge's or Argo CD's, comes from who knows the secret."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

ARGOCD = "argocd"
# The headers that carry the proof, by kind; Forgejo sends Gitea's, too, and its own.
_HEADERS: Mapping[str, tuple[str, ...]] = {
    "github": ("X-Hub-Signature-256",),
    "gitlab": ("X-Gitlab-Token",),
    "gitea": ("X-Gitea-Signature", "X-Forgejo-Signature"),
    ARGOCD: ("Authorization",),
}
KINDS = tuple(_HEADERS)


def is_genuine(kind: str, headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    """Whether the message proves to know the secret: found out in constant time. `headers` are as
    WSGI has them, by `Name-Like-This`; `body` is what was sent, byte by byte.
    """
    expected = _proof(kind, body, secret.encode())
    offered = [headers.get(name, "").encode("latin-1", "replace") for name in _HEADERS[kind]]
    return any(hmac.compare_digest(expected, each) for each in offered)


def _proof(kind: str, body: bytes, secret: bytes) -> bytes:
    if kind == "gitlab":
        return secret  # it signs nothing: the header is the secret itself
    if kind == ARGOCD:
        return b"Bearer " + secret  # as argocd-notifications-cm.yaml sends it
    digest = hmac.new(secret, body, hashlib.sha256).hexdigest().encode()
    return b"sha256=" + digest if kind == "github" else digest

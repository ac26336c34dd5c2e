"""Nudges: a push as GitHub tells of it, answered as the ApplicationSet controller answers."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable

from flask import Request, Response

from tenantry.devcluster.answers import text_answer

_FAILED = "Webhook processing failed: "


def answer_webhook(request: Request, secret: str, nudge: Callable[[str, str], None]) -> Response:
    """Check event and signature; `nudge` gets each URL of the repository, and the ref.

    Anything that is signed is answered with 200, whether somebody watches it or not.
    """
    event = request.headers.get("X-GitHub-Event")
    if event is None:
        return text_answer("Unknown webhook event\n", 400)
    signature = request.headers.get("X-Hub-Signature-256")
    if not signature:
        return text_answer(f"{_FAILED}missing X-Hub-Signature-256 Header\n", 400)
    body = request.get_data()
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(f"sha256={digest}".encode(), signature.encode()):
        return text_answer(f"{_FAILED}HMAC verification failed\n", 400)
    if event == "push":
        for url, ref in _pushed(body):
            nudge(url, ref)
    answer = Response(b"", 200)
    del answer.headers["Content-Type"]
    return answer


def _pushed(body: bytes) -> list[tuple[str, str]]:
    """Repository URLs and ref of a GitHub-shaped push; empty where it is none."""
    try:
        payload = json.loads(body)
        ref, repository = payload["ref"], payload["repository"]
        urls = [repository.get(name) for name in ("html_url", "clone_url", "ssh_url", "url")]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    return [(url, ref) for url in urls if isinstance(url, str) and isinstance(ref, str)]

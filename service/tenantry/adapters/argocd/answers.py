"""What an answer of Argo CD, or of something that stands in front of it, says went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenantry.adapters.http import Answer, AnswerBroken, RequestFailed
from tenantry.core.errors import ArgoError, ArgoForbidden, ArgoTokenBad, ArgoUnreachable
from tenantry.core.reasons import clean

NOT_FOUND = 5  # gRPC's code in Argo CD's own 404; another 404 is somebody else's


def check(answer: Answer) -> Answer:
    """The answer where it is a success; else the error that tells its case apart."""
    if answer.status == 200:
        return answer
    said = f"Argo CD answered {answer.status}: {clean(_message(answer))}"
    if answer.status == 401:
        raise ArgoTokenBad(said, remedy="give the service a new token for its Argo CD account")
    if answer.status == 403:
        raise ArgoForbidden(said)
    if answer.status == 429 or answer.status in (502, 503, 504):
        raise ArgoUnreachable(said, retry_after=_retry_after(answer))
    if 300 <= answer.status < 400:
        raise ArgoError(said, remedy="set Argo CD's URL to where it leads; none is followed")
    raise ArgoError(said)


def explain_failure(error: RequestFailed) -> ArgoError:
    """The error for a request that brought no answer, or no whole one."""
    if isinstance(error, AnswerBroken):
        return ArgoError(f"Argo CD's answer cannot be used: {error}.")
    return ArgoUnreachable(f"Argo CD cannot be reached: {error}.")


def is_missing(answer: Answer) -> bool:
    """Whether Argo CD itself says that there is no such Application."""
    if answer.status != 404:
        return False
    try:
        return as_object(answer).get("code") == NOT_FOUND
    except ArgoError:
        return False


def as_object(answer: Answer) -> Mapping[str, Any]:
    """The answer's JSON object; ArgoError where it is something else."""
    try:
        body = answer.json()
    except ValueError as error:
        raise ArgoError(
            f"Argo CD's answer is not JSON: {clean(answer.text)[:80]}",
            remedy="is this the URL of Argo CD, and not of a page in front of it?",
        ) from error
    if not isinstance(body, Mapping):
        raise ArgoError("Argo CD's answer is not a JSON object.")
    return body


def _message(answer: Answer) -> str:
    try:
        found = as_object(answer).get("message") or as_object(answer).get("error")
    except ArgoError:
        found = None
    return found if isinstance(found, str) else answer.text


def _retry_after(answer: Answer) -> float | None:
    value = answer.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 6 else None
